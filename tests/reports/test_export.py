"""CSV files open in spreadsheets and run nothing there."""

import csv
import io
from datetime import date

import pytest

from socialcrm.reports.export import BOM, csv_text, safe
from socialcrm.reports.tables import Column, Table

TABLE = Table(
    "csat_agents",
    [
        Column("name", "Agent", "text"),
        Column("day", "Day", "day"),
        Column("count", "Answers"),
        Column("rate", "Rate", "share"),
        Column("mean", "Mean", "score"),
        Column("language", "Language", "label"),
        Column("channel_1", '=cmd|"/c calc"!A1', is_name=True),
    ],
    [
        {
            "name": '=HYPERLINK("http://x")',
            "day": date(2026, 3, 10),
            "count": 3,
            "rate": 0.75,
            "mean": 4.0,
            "language": "fr",
            "channel_1": 2,
        },
        {
            "name": 'وصلة, "تيليكوم"',
            "day": None,
            "count": 0,
            "rate": None,
            "mean": None,
            "language": "ar",
            "channel_1": 0,
        },
    ],
)


def test_cells_that_look_like_formulas_are_shown_and_not_run() -> None:
    text = csv_text(TABLE, lambda word: f"-{word}")
    header, first, _ = csv.reader(io.StringIO(text.removeprefix(BOM)))
    assert header[-1] == '\'=cmd|"/c calc"!A1'
    assert first[0] == '\'=HYPERLINK("http://x")'
    assert first[5] == "'-fr"


def test_a_file_says_that_it_is_utf8_and_holds_plain_figures() -> None:
    text = csv_text(TABLE, lambda word: word)
    assert text.startswith(BOM)
    _, first, second = csv.reader(io.StringIO(text.removeprefix(BOM)))
    assert first[1:5] == ["2026-03-10", "3", "0.75", "4.00"]
    assert second[:5] == ['وصلة, "تيليكوم"', "", "0", "", ""]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1"])
def test_a_text_that_starts_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert safe(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Amina", "a=b", "07 55", "café"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert safe(text) == text
