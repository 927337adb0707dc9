"""The chart of the barometer: the index as a line, with the range in which the true one lies around it."""

from socialcrm.reports.charts import CONFIG, HEIGHT, SCHEMA, Look, Spec
from socialcrm.reports.tables import Table


def index_chart(table: Table, look: Look, lowest: int) -> Spec:
    """A line over a band; days without answers leave a gap."""
    values = [
        {
            "day": row["day"].isoformat(),
            "index": row["mean"],
            "low": row["low"] if row["low"] is not None else row["mean"],
            "high": row["high"] if row["high"] is not None else row["mean"],
            "answers": row["answered"],
        }
        for row in table.rows
        if row["mean"] is not None
    ]
    x = {
        "field": "day",
        "type": "temporal",
        "timeUnit": "utcyearmonthdate",
        "scale": {"type": "utc"},
        "axis": {"format": "%d/%m", "labelOverlap": "greedy", "title": None, "tickCount": 8},
        "title": None,
    }
    scale = {"domain": [lowest, 100]}
    tooltip = [
        {
            "field": "day",
            "type": "temporal",
            "timeUnit": "utcyearmonthdate",
            "title": look.word("Day"),
            "format": "%d/%m/%Y",
        },
        {"field": "index", "type": "quantitative", "title": look.word("Index"), "format": ".0f"},
        {"field": "answers", "type": "quantitative", "title": look.word("Answers")},
    ]
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "width": "container",
        "height": HEIGHT,
        "data": {"values": values},
        "encoding": {"x": x},
        "layer": [
            {
                "mark": {"type": "errorbar", "color": "var(--chart-1)", "opacity": 0.5},
                "encoding": {
                    "y": {"field": "low", "type": "quantitative", "scale": scale, "title": look.word("Index")},
                    "y2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "line", "color": "var(--chart-1)", "point": {"size": 45, "color": "var(--chart-1)"}},
                "encoding": {"y": {"field": "index", "type": "quantitative", "scale": scale}, "tooltip": tooltip},
            },
        ],
    }
