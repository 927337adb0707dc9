"""One question of a survey, put to somebody in the channel: with buttons, with numbers, with a link to its page."""

from sqlalchemy.ext.asyncio import AsyncSession

from connectors.base import Connector
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import AuthorKind, Message
from socialcrm.domain.question import Question
from socialcrm.domain.survey import Survey
from socialcrm.domain.survey_form import Form, Item, open_items
from socialcrm.engine import survey_forms
from socialcrm.engine.ask import ask, has_buttons
from socialcrm.engine.line import Line

KIND = "survey"


async def put(
    session: AsyncSession,
    line: Line,
    row: Survey,
    form: Form,
    item: Item,
    conversation: Conversation,
    connector: Connector,
    *,
    to: Message | None = None,
    is_first: bool = False,
) -> None:
    """Ask one question of a survey in its channel."""
    words = survey_forms.wording(line, form, row.language)
    choices = words.choices(item)
    is_plain = to is not None or item.type == "choices" or not has_buttons(connector, conversation.kind, len(choices))
    text = words.message(item, has_buttons=not is_plain, url=link(line, row) if is_first else "")
    await ask(
        session,
        line,
        conversation,
        text,
        choices,
        kind=KIND,
        subject_id=row.id or 0,
        key=f"survey:{row.resolution_id}" if is_first else f"survey:{row.resolution_id}:{item.id}",
        author=AuthorKind.SURVEY,
        expires=row.expires_at,
        takes_text=item.type == "text",
        is_multiple=item.type == "choices",
        is_listed=False,
        language=row.language,
        to=to,
    )


def link(line: Line, row: Survey) -> str:
    """Where a survey is answered without its channel."""
    return f"{line.settings.public_url}/s/{row.token}"


def item_of(form: Form, question: Question) -> Item | None:
    """Which question of a survey was asked."""
    _, _, name = question.key.partition(":")[2].partition(":")
    if name:
        return form.step(name)
    shown = open_items(form, {})[0]
    return shown[0] if shown else None
