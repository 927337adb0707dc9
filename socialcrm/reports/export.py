"""Tables as CSV files."""

import csv
import io
from collections.abc import Callable
from datetime import date
from typing import Any

from nlp.entities import mask
from socialcrm.reports.tables import Column, Table

BOM = "\ufeff"
"""So that spreadsheets read the file as UTF-8."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A text that starts with one of these would be run by a spreadsheet (OWASP, "CSV Injection")."""


def csv_text(table: Table, word: Callable[[str], str], *, is_raw: bool = False) -> str:
    """The table as CSV (RFC 4180), titles and labels put through `word`; figures are plain numbers. Personal data in
    what customers wrote is masked, unless the file should be raw."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(safe(column.title if column.is_name else word(column.title)) for column in table.columns)
    for row in table.rows:
        writer.writerow(_cell(column, row.get(column.key), word, is_raw) for column in table.columns)
    return BOM + buffer.getvalue()


def safe(text: str) -> str:
    """A text that a spreadsheet shows and does not run."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _cell(column: Column, value: Any, word: Callable[[str], str], is_raw: bool) -> str:
    if value is None:
        return ""
    if column.kind == "message" and not is_raw:
        return safe(mask(str(value)))
    if isinstance(value, date):
        return value.isoformat()
    if column.kind == "label":
        return safe(word(str(value)))
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if column.kind != "score" else f"{value:.2f}"
    if isinstance(value, int):
        return str(value)
    return safe(str(value))
