"""A file of what was sent, for the channels that have no platform."""

import json
import os
from pathlib import Path

from connectors.base import OutboundMessage


class Journal:
    """A JSONL file: one line of key, action, thread, text and buttons per message sent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, message: OutboundMessage, action: str) -> None:
        """Add a line. One write, appended by the kernel: a kill leaves it whole or leaves it out."""
        line = {
            "key": message.key,
            "action": action,
            "thread": message.thread_key,
            "text": message.text,
            "buttons": [[button.label, button.value] for button in message.buttons],
        }
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (json.dumps(line, ensure_ascii=False) + "\n").encode())
        finally:
            os.close(descriptor)

    def lines(self) -> list[dict[str, object]]:
        """All that was sent, in order."""
        if not self.path.exists():
            return []
        # Not splitlines: a text may hold U+2028 and other signs that end a line for Python, but not in JSONL.
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").split("\n") if line]

    def has(self, key: str) -> bool:
        """Whether a message with this key was sent."""
        return any(line["key"] == key for line in self.lines())
