"""A table of figures: what a page shows, a chart draws and a CSV file holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["day", "text", "message", "count", "share", "score", "label", "seconds"]
"""How a cell is written. `label` is one of our words and is translated; `text` comes from people and is not; `message`
is what a customer wrote, and files mask the personal data in it."""


@dataclass(frozen=True)
class Column:
    """One column; `title` is English and translated where it is shown, unless it `is_name` (of a channel)."""

    key: str
    title: str
    kind: Kind = "count"
    is_name: bool = False
    is_detail: bool = False
    """In files only: a page shows it beside another column."""


@dataclass(frozen=True)
class Table:
    """Rows of one report; a row maps column keys to values, and may hold more than its columns show."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def is_empty(self) -> bool:
        """Whether everything that is counted is zero."""
        counted = [column.key for column in self.columns if column.kind == "count"]
        return not any(row.get(key) for row in self.rows for key in counted)


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, 0 to 1; None of nothing."""
    return part / whole if whole else None
