"""Privacy: what an answer that everybody can read would give away of the customer."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from nlp.entities import PERSONAL, Entity, entities
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Direction, Message

NEVER_PUBLIC = ("card", "account")
READ = 100


async def given_away(session: AsyncSession, conversation: Conversation, text: str) -> list[str]:
    """What of a public answer is the customer's: a phone number or address that they gave us or are known by, and any
    number of a card or an account. Our own hotline is not. Empty for a private answer."""
    found = _personal(text) if conversation.kind != MessageKind.DIRECT_MESSAGE else []
    if not found:
        return []
    contact = await session.get_one(Contact, conversation.contact_id)
    names = select(col(Identity.external_id)).where(col(Identity.contact_id) == conversation.contact_id)
    texts = (
        select(col(Message.text))
        .where(col(Message.conversation_id) == conversation.id, col(Message.direction) == Direction.IN.value)
        .order_by(col(Message.id).desc())
        .limit(READ)
    )
    known = [contact.name, *(await session.execute(names)).scalars(), *(await session.execute(texts)).scalars()]
    theirs = {entity.value for said in known for entity in _personal(said)}
    return [entity.text for entity in found if entity.kind in NEVER_PUBLIC or entity.value in theirs]


def _personal(text: str) -> list[Entity]:
    return [entity for entity in entities(text, known={}) if entity.kind in PERSONAL]
