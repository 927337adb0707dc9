"""What a channel takes, known before sending."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.messages import MessageKind


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known before sending; all other rules are left to the platform, which says them in its own words."""

    text_length: int
    """Characters in one message."""
    buttons: int = 0
    """Buttons under one message; 0 where the channel has none."""
    body_bytes: int = 1_000_000
    """Largest webhook body that is read."""
    public_length: int | None = None
    """Characters in one public answer, where that is another number."""
    window_hours: float | None = None
    """How long after the customer's last message a free text may be sent; None where that does not matter."""
    private_reply_hours: float | None = None
    """How long after a public comment it may be answered in private, once; None where that does not matter."""
    media: Mapping[str, int] = field(default_factory=dict)
    """Files that it takes beside a private answer: type ("image/png", "image/*", "*/*") -> most bytes of one."""
    public_media: Mapping[str, int] = field(default_factory=dict)
    """The same beside a public answer."""
    files: int = 1
    """Files beside one answer."""
    files_bytes: int | None = None
    """Most bytes of all files of one answer together, where that is limited."""

    def media_of(self, kind: str) -> Mapping[str, int]:
        """Files that it takes beside an answer to a message of this kind; empty: none."""
        return self.media if kind == MessageKind.DIRECT_MESSAGE else self.public_media

    def text_length_of(self, kind: str) -> int:
        """Characters in one answer to a message of this kind."""
        is_private = kind == MessageKind.DIRECT_MESSAGE
        return self.text_length if is_private or self.public_length is None else self.public_length


@dataclass(frozen=True, slots=True)
class Window:
    """Until when the channel takes an agent's private answer, reckoned from the customer's last message."""

    closes_at: datetime
    """Until then any text."""
    late_until: datetime | None = None
    """Until then an agent's text all the same."""
    has_template: bool = False
    """Afterwards the text goes out inside a template that the platform approved."""
