"""A case: a complaint being followed until the customer confirms."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import key_column, ref_column, time_column

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXY"
"""31 signs without 0 O 1 I Z, so that a reference can be read out; a prime number, for the check sign."""
_BASE = len(ALPHABET)
_COUNT = _BASE**6
_SPREAD = 0x2C1B3C6D
"""No multiple of 31, so that multiplying by it modulo 31**6 reorders the numbers and repeats none (a bijection)."""


class CaseStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Case(SQLModel, table=True):
    """A complaint that somebody owns."""

    __tablename__ = "complaint_case"

    id: int | None = key_column()
    reference: str = Field(unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    contact_id: int = ref_column("contact.id", is_indexed=True)
    message_id: int = ref_column("message.id", unique=True)
    """The message it was opened for."""
    status: str = CaseStatus.OPEN
    opened_at: datetime = time_column()
    closed_at: datetime | None = time_column(default=None)


def reference_of(number: int) -> str:
    """The reference of the case opened for message `number`, like 7K3-F9P-2: six signs and a check sign. Two numbers
    that are less than 31**6 (887 million) apart never have the same one."""
    mixed = (number * _SPREAD) % _COUNT
    signs = "".join(ALPHABET[mixed // _BASE**place % _BASE] for place in range(5, -1, -1))
    return f"{signs[:3]}-{signs[3:]}-{_check_sign(signs)}"


def is_reference(text: str) -> bool:
    """Whether `text` is a reference that was read or typed without a slip: one wrong sign, or two signs that changed
    places, are always noticed; several wrong signs 30 times of 31."""
    signs = text.strip().upper().replace("-", "").replace(" ", "")
    return len(signs) == 7 and all(s in ALPHABET for s in signs) and _check_sign(signs[:6]) == signs[6]


def _check_sign(signs: str) -> str:
    # As in an ISBN-10: each place has a weight of its own, none a multiple of the prime, and no two weights, the check
    # sign's own (-1) included, are the same modulo it.
    return ALPHABET[sum((i + 1) * ALPHABET.index(s) for i, s in enumerate(signs)) % _BASE]
