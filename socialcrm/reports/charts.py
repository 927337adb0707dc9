"""Charts: one Vega-Lite specification per chart, made from the table that stands under it.

Colours are names of design tokens (`var(--positive)`), which the browser resolves, so a chart follows light and dark;
`paint` puts colours in where there is no style sheet.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from socialcrm.reports.filters import SENTIMENTS, Filters
from socialcrm.reports.links import link
from socialcrm.reports.tables import Table

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HEIGHT = 220
Spec: TypeAlias = dict[str, Any]

SENTIMENT_COLOURS = {
    "positive": "var(--chart-positive)",
    "neutral": "var(--chart-neutral)",
    "negative": "var(--chart-negative)",
    "unsure": "var(--chart-unsure)",
    "pending": "var(--chart-pending)",
}
SERIES = tuple(f"var(--chart-{number})" for number in range(1, 9))
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans Arabic", Tahoma, sans-serif'
"""Named here too: Vega measures texts with it to lay out labels and legends."""
CONFIG: Spec = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--text-2)",
        "titleColor": "var(--text-2)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelPadding": 6,
    },
    "axisX": {
        "grid": False,
        "ticks": False,
        "labelAngle": 0,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
        "title": None,
    },
    "axisY": {"domain": False, "ticks": False, "tickCount": 4},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": "var(--text-2)",
        "labelFontSize": 12,
        "symbolType": "square",
        "symbolSize": 90,
        "columnPadding": 14,
        "offset": 12,
        "labelLimit": 160,
        "columns": 3,
    },
}


@dataclass(frozen=True)
class Look:
    """How a chart speaks: `word` translates a title, `months` are short names of the twelve months."""

    word: Callable[[str], str]
    months: Sequence[str]


def volume(table: Table, filters: Filters, look: Look) -> Spec:
    """Stacked bars: messages per day, one colour per channel."""
    named = [column for column in table.columns if column.is_name]
    values = [
        {
            "day": row["day"].isoformat(),
            "series": column.title,
            "count": row[column.key],
            "place": place,
            "href": link(table, row, column.key, filters),
        }
        for row in table.rows
        for place, column in enumerate(named)
        if row[column.key]
    ]
    colours = {
        "domain": [column.title for column in named],
        "range": [SERIES[n % len(SERIES)] for n in range(len(named))],
    }
    return _stack(values, colours, table, look, look.word("Channel"))


def sentiment(table: Table, filters: Filters, look: Look) -> Spec:
    """Stacked bars: messages per day, one colour per sentiment."""
    used = [label for label in SENTIMENTS if any(row[label] for row in table.rows)]
    titles = {column.key: look.word(column.title) for column in table.columns}
    values = [
        {
            "day": row["day"].isoformat(),
            "series": titles[label],
            "count": row[label],
            "place": place,
            "href": link(table, row, label, filters),
        }
        for row in table.rows
        for place, label in enumerate(used)
        if row[label]
    ]
    colours = {"domain": [titles[label] for label in used], "range": [SENTIMENT_COLOURS[label] for label in used]}
    return _stack(values, colours, table, look, look.word("Sentiment"))


def complaints(table: Table, filters: Filters, look: Look) -> Spec:
    """A line: complaints per day; the share of all messages in the tooltip."""
    values = [
        {
            "day": row["day"].isoformat(),
            "count": row["complaints"],
            "share": row["share"],
            "href": link(table, row, "complaints", filters),
        }
        for row in table.rows
    ]
    tooltip = [
        _tip("day", look.word("Day")),
        _tip("count", look.word("Complaints")),
        {**_tip("share", look.word("Share of messages")), "type": "quantitative", "format": ".1%"},
    ]
    y = {
        "field": "count",
        "type": "quantitative",
        "title": look.word("Complaints"),
        "axis": {"format": "d", "tickMinStep": 1},
    }
    shared = {"x": _days(table, look), "y": y, "tooltip": tooltip, "href": _href()}
    line = {"type": "line", "stroke": "var(--chart-negative)", "strokeWidth": 2}
    point = {"type": "point", "filled": True, "size": 55, "color": "var(--chart-negative)", "opacity": 1}
    return _spec(
        values, {"layer": [{"mark": line, "encoding": {"x": shared["x"], "y": y}}, {"mark": point, "encoding": shared}]}
    )


def languages(table: Table, filters: Filters, look: Look) -> Spec:
    """Bars: messages per language."""
    values = [
        {
            "name": look.word(row["language"]),
            "count": row["count"],
            "share": row["share"],
            "href": link(table, row, "count", filters),
        }
        for row in table.rows
    ]
    tooltip = [
        _tip("name", look.word("Language")),
        _tip("count", look.word("Messages")),
        {**_tip("share", look.word("Share")), "type": "quantitative", "format": ".1%"},
    ]
    return _spec(
        values,
        {
            "height": 30 * len(values) + 10,
            "mark": {"type": "bar", "color": "var(--chart-1)", "cornerRadiusEnd": 3, "size": 16},
            "encoding": {
                "y": {
                    "field": "name",
                    "type": "nominal",
                    "sort": None,
                    "title": None,
                    "axis": {"labelLimit": 170, "domain": False},
                },
                "x": {
                    "field": "count",
                    "type": "quantitative",
                    "title": look.word("Messages"),
                    "axis": {"grid": True, "tickMinStep": 1, "format": "d", "tickCount": 5},
                },
                "tooltip": tooltip,
                "href": _href(),
            },
        },
    )


def csat(table: Table, filters: Filters, look: Look) -> Spec:
    """Points: the mean score per day, with its interval."""
    values = [
        {
            "day": row["day"].isoformat(),
            "mean": row["mean"],
            "low": row["low"],
            "high": row["high"],
            "answered": row["answered"],
            "rate": row["rate"],
            "href": link(table, row, "answered", filters),
        }
        for row in table.rows
        if row["mean"] is not None
    ]
    tooltip = [
        _tip("day", look.word("Day")),
        {**_tip("mean", look.word("Mean score")), "type": "quantitative", "format": ".2f"},
        {**_tip("low", look.word("95 % from")), "type": "quantitative", "format": ".2f"},
        {**_tip("high", look.word("95 % to")), "type": "quantitative", "format": ".2f"},
        _tip("answered", look.word("Answers")),
        {**_tip("rate", look.word("Response rate")), "type": "quantitative", "format": ".0%"},
    ]
    scale = {"domain": [1, 5], "zero": False, "nice": False}
    mean = {
        "field": "mean",
        "type": "quantitative",
        "scale": scale,
        "title": look.word("Mean score"),
        "axis": {"values": [1, 2, 3, 4, 5], "labelOverlap": False},
    }
    x = _days(table, look)
    rule = {"type": "rule", "stroke": "var(--chart-1)", "strokeWidth": 6, "opacity": 0.3}
    low = {**mean, "field": "low"}
    point = {"type": "point", "filled": True, "size": 60, "color": "var(--chart-1)", "opacity": 1}
    return _spec(
        values,
        {
            "layer": [
                {
                    "transform": [{"filter": {"field": "low", "valid": True}}],
                    "mark": rule,
                    "encoding": {"x": x, "y": low, "y2": {"field": "high"}},
                },
                {"mark": point, "encoding": {"x": x, "y": mean, "tooltip": tooltip, "href": _href()}},
            ]
        },
    )


CHARTS: Mapping[str, Callable[[Table, Filters, Look], Spec]] = {
    "volume": volume,
    "sentiment": sentiment,
    "complaints": complaints,
    "languages": languages,
    "csat": csat,
}


def paint(spec: Spec, colours: Mapping[str, str]) -> Spec:
    """The chart with its tokens (`--positive`) replaced by colours, for a PDF or an e-mail."""
    text = json.dumps(spec)
    for name in sorted(colours, key=len, reverse=True):
        text = text.replace(f"var({name})", colours[name])
    painted: Spec = json.loads(text)
    return painted


def _stack(values: list[Spec], colours: Spec, table: Table, look: Look, title: str) -> Spec:
    y = {
        "field": "count",
        "type": "quantitative",
        "title": look.word("Messages"),
        "axis": {"format": "d", "tickMinStep": 1},
    }
    return _spec(
        values,
        {
            "mark": {
                "type": "bar",
                "cornerRadiusEnd": 0,
                "width": {"band": 0.72},
                "stroke": "var(--surface)",
                "strokeWidth": 0.5,
            },
            "encoding": {
                "x": _days(table, look),
                "y": y,
                "order": {"field": "place", "type": "ordinal"},
                "color": {"field": "series", "type": "nominal", "scale": colours},
                "tooltip": [_tip("day", look.word("Day")), _tip("series", title), _tip("count", look.word("Messages"))],
                "href": _href(),
            },
        },
    )


def _spec(values: list[Spec], rest: Spec) -> Spec:
    autosize = {"type": "fit-x", "contains": "padding"}
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": HEIGHT,
        "autosize": autosize,
        "padding": 4,
        "config": CONFIG,
        "data": {"values": values},
        **rest,
    }


def _days(table: Table, look: Look) -> Spec:
    """All days, also the empty ones, written as 9 Mar."""
    months = json.dumps(list(look.months))
    label = f"toNumber(slice(datum.value, 8, 10)) + ' ' + {months}[toNumber(slice(datum.value, 5, 7)) - 1]"
    domain = [row["day"].isoformat() for row in table.rows]
    return {"field": "day", "type": "ordinal", "scale": {"domain": domain}, "axis": {"labelExpr": label}}


def _tip(field: str, title: str) -> Spec:
    return {"field": field, "title": title}


def _href() -> Spec:
    return {"field": "href", "type": "nominal"}
