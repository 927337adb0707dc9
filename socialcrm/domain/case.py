"""A case: a complaint being followed until the customer confirms."""

from datetime import datetime
from enum import StrEnum

from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import key_column, ref_column, time_column

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 signs without 0 O 1 I, so that a reference can be read out."""
_SPREAD = 0x2C1B3C6D
"""Odd, so that multiplying by it modulo 2**30 reorders the numbers and repeats none (a bijection)."""


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
    """The reference of the case opened for message `number`, like 7K3-F9P-2: six signs and a check sign."""
    mixed = (number * _SPREAD) % 2**30
    signs = "".join(ALPHABET[(mixed >> shift) & 31] for shift in range(25, -1, -5))
    return f"{signs[:3]}-{signs[3:]}-{_check_sign(signs)}"


def is_reference(text: str) -> bool:
    """Whether `text` is a reference that was read or typed without a slip (ISO 7064 style check, modulo 31)."""
    signs = text.strip().upper().replace("-", "").replace(" ", "")
    return len(signs) == 7 and all(s in ALPHABET for s in signs) and _check_sign(signs[:6]) == signs[6]


def _check_sign(signs: str) -> str:
    return ALPHABET[sum((i + 1) * ALPHABET.index(s) for i, s in enumerate(signs)) % 31]
