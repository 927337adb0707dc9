"""The table of what each channel can do, made from the classes: `python -m connectors.abilities PAGE`."""

import sys
from pathlib import Path

from connectors.base import Connector
from connectors.registry import CONNECTORS, connector_class

ABILITIES = {
    "poll": "read by asking",
    "read_webhook": "read by webhook",
    "backfill": "read the past",
    "search": "listen",
    "direct_message": "answer in private",
    "reply": "answer in public",
    "private_reply": "answer a comment in private",
    "post": "show the post above its comments",
    "typing": "show typing",
    "mark_read": "mark as read",
    "like": "like",
    "boost": "boost",
    "hide": "hide",
    "delete": "delete",
    "fetch": "attachments",
    "find_sent": "reconcile",
}
START, END = "<!-- abilities: made by `python -m connectors.abilities` -->", "<!-- end of abilities -->"


def table() -> str:
    """A Markdown table: a row per ability, a column per registered connector."""
    classes = [connector_class(name) for name in sorted(CONNECTORS)]
    rows = [["", *(f"[{each.label}]({each.name}.md)" for each in classes)], ["---"] * (len(classes) + 1)]
    rows += [[words, *("yes" if each.can(name) else "" for each in classes)] for name, words in ABILITIES.items()]
    rows.append(["send files", *("yes" if e.limits.media or e.limits.public_media else "" for e in classes)])
    rows.append(["characters in one message", *(f"{e.limits.text_length:,}" if _sends(e) else "" for e in classes)])
    rows.append(["buttons under one message", *(str(e.limits.buttons) if _sends(e) else "" for e in classes)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sends(each: type[Connector]) -> bool:
    return each.can("direct_message") or each.can("reply")


def updated(page: str) -> str:
    """`page` with the table between its two marks made anew."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
