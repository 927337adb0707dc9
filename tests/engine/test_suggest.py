"""Answers are suggested from the FAQ and from what agents answered before; what they hold of others stays hidden."""

import asyncio
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlmodel import col

from nlp.pipeline import Pipeline
from socialcrm.domain.engagement import Engagement, Question
from socialcrm.domain.message import AuthorKind
from socialcrm.domain.rows import Agent, Message, Suggestion
from socialcrm.engine import suggest
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.learn import learn
from socialcrm.engine.line import Line
from socialcrm.engine.model import Model
from socialcrm.engine.schedule import Timetable
from socialcrm.engine.suggest import Offer, Suggestions
from tests.story import Clock, Story, line_with

ASKS = "mon décodeur affiche une erreur de signal depuis ce matin, que faire ?"
AGAIN = "le décodeur affiche erreur de signal depuis ce matin que dois-je faire"
HELP = "Débranchez le décodeur une minute, puis rebranchez-le ; l'image revient en trois minutes."
ELSE = "bonjour, je voudrais savoir où se trouve votre boutique de Béjaïa"


@pytest.fixture
def line(line: Line) -> Line:
    """Without automatic answers, and with one entry in the FAQ."""
    entry = Question(
        id="roaming",
        phrases=("comment activer le roaming à l'étranger", "how to activate roaming abroad"),
        answers={"fr": "Composez *440# avant le départ.", "en": "Dial *440# before you leave."},
    )
    quiet = Engagement((), (), line.engagement.replies, (entry,))
    return line_with(replace(line, engagement=quiet), Clock(), survey={"is_on": False})


async def learned(line: Line) -> int:
    """Everything that waits is learned; how many it was."""
    total = 0
    while taken := await learn(line):
        total += taken
    return total


async def answered(line: Line, *exchanges: tuple[str, str], name: str = "lyes") -> tuple[Story, Agent]:
    """A story in which each customer was answered, each in a conversation of their own."""
    story = await Story.begin(line)
    amina = await story.agent("Amina")
    for number, (question, answer) in enumerate(exchanges):
        await story.customer_writes(question, author=f"{name}{number}" if number else name)
        await story.agent_answers(amina, answer)
    await learned(line)
    return story, amina


async def offers(story: Story, line: Line, text: str, author: str = "someone") -> list[Offer]:
    """What is suggested when somebody new writes this."""
    await story.customer_writes(text, author=author)
    return await Suggestions(line).offers((await story.conversation()).id or 0)


async def vectors(story: Story) -> list[tuple[bytes, str]]:
    return [(row.vector, row.model) for row in await story.rows(Suggestion) if row.message_id]


async def test_an_answer_is_suggested_when_the_like_is_asked_again_and_not_for_something_else(line: Line) -> None:
    story, _ = await answered(line, (ASKS, HELP), ("merci pour tout, bonne journée", "Avec plaisir, à bientôt !"))
    first, *_ = await offers(story, line, AGAIN)
    [told] = [m for m in await story.messages("out") if m.text == HELP]
    assert (first.source, first.text, first.at) == (f"answer:{told.id}", HELP, told.sent_at)
    assert HELP not in [offer.text for offer in await offers(story, line, ELSE, "other")]


async def test_nothing_is_suggested_once_a_person_has_answered_and_again_when_the_customer_goes_on(line: Line) -> None:
    story, amina = await answered(line, (ASKS, HELP))
    assert await offers(story, line, AGAIN)
    number = (await story.conversation()).id or 0
    await story.agent_answers(amina, "Je regarde cela tout de suite pour vous.")
    assert await Suggestions(line).offers(number) == []
    await story.customer_writes(ASKS, author="someone")
    assert (await Suggestions(line).offers(number))[0].text == HELP


async def test_the_words_of_a_customer_who_writes_in_pieces_are_read_together(line: Line) -> None:
    story, amina = await answered(line)
    for piece in ("slm", "mon décodeur affiche une erreur de signal", "depuis ce matin, que faire ?"):
        await story.customer_writes(piece, author="lyes")
    await story.agent_answers(amina, HELP)
    await learned(line)
    for piece in ("le décodeur affiche erreur de signal", "depuis ce matin que dois-je faire"):
        await story.customer_writes(piece, author="someone")
    assert (await Suggestions(line).offers((await story.conversation()).id or 0))[0].text == HELP


async def test_the_faq_is_suggested_in_the_language_of_the_customer(line: Line) -> None:
    story, _ = await answered(line)
    [french] = await offers(story, line, "je pars à l'étranger, je peux activer le roaming ?")
    [english] = await offers(story, line, "hello, I would like to activate roaming abroad please", "other")
    assert (french.source, french.text, french.at) == ("faq:roaming", "Composez *440# avant le départ.", None)
    assert english.text == "Dial *440# before you leave."


async def test_what_was_said_in_the_conversation_is_not_suggested_again(line: Line) -> None:
    story, _ = await answered(line)
    [offer] = await offers(story, line, "je pars à l'étranger, je peux activer le roaming ?")
    conversation = await story.conversation()
    async with line.database.write() as session:
        await send(session, Draft(conversation, offer.text, "auto:1", AuthorKind.BOT), line.now())
    assert await Suggestions(line).offers(conversation.id or 0) == []


async def test_what_says_who_somebody_is_never_comes_up_again(line: Line) -> None:
    secret = (
        "Bonjour Karim, je vous rappelle au 0550 12 34 56 pour la commande CMD-88213 ; votre dossier 7K3-F9P-2 et le "
        "compte 007 99999 0001234567 89 sont à jour, écrivez à karim.b@example.com si besoin."
    )
    story, _ = await answered(line, (ASKS, secret), name="karim")
    [offer] = await offers(story, line, AGAIN)
    for part in ("Karim", "0550", "34 56", "88213", "F9P", "1234567", "karim.b"):
        assert part not in offer.text, offer.text
    assert offer.text.startswith("Bonjour [name], je vous rappelle au [phone]")


async def test_near_identical_answers_are_one_and_the_faqs_own_text_comes_first(line: Line) -> None:
    same = [(f"{ASKS} {extra}", f"{HELP} {end}") for extra, end in (("", ""), ("svp", ":)"), ("merci", "!"))]
    story, _ = await answered(line, *same)
    [offer] = await offers(story, line, AGAIN)
    assert offer.count == 3


async def test_only_what_an_agent_wrote_and_the_customer_got_is_learned(line: Line) -> None:
    story, _ = await answered(line, (ASKS, HELP), ("bonjour", "ok merci"))
    [row, short] = sorted(await vectors(story), reverse=True)
    assert row[0]
    assert not short[0], "an answer of two words is no use again"
    assert await offers(story, line, AGAIN)
    async with line.database.write() as session:
        await session.execute(update(Message).where(col(Message.text) == HELP).values(delivery="failed"))
    assert await Suggestions(line).offers((await story.conversation()).id or 0) == []


async def test_an_answer_that_was_no_help_is_gone_from_the_conversation_and_after_three_from_all(line: Line) -> None:
    story, amina = await answered(line, (ASKS, HELP))
    shelf = Suggestions(line)
    for turn in range(suggest.GIVEN_UP):
        await story.customer_writes(AGAIN, author=f"someone-{turn}")
        number = (await story.conversation()).id or 0
        [offer] = await shelf.offers(number)
        for _ in range(2):  # twice is once
            async with line.database.write() as session:
                await suggest.dismiss(session, number, offer.source, amina, line.now())
        assert await shelf.offers(number) == []
    await story.customer_writes(AGAIN, author="the-next")
    assert await shelf.offers((await story.conversation()).id or 0) == []


async def test_new_answers_are_found_without_a_restart(line: Line) -> None:
    story, amina = await answered(line)
    shelf = Suggestions(line)
    await story.customer_writes(AGAIN, author="someone")
    number = (await story.conversation()).id or 0
    assert await shelf.offers(number) == []
    await story.customer_writes(ASKS, author="lyes")
    await story.agent_answers(amina, HELP)
    await learned(line)
    assert [offer.text for offer in await shelf.offers(number)] == [HELP]


async def test_only_the_newest_answers_are_searched(line: Line) -> None:
    story, amina = await answered(line, (ASKS, HELP), (ELSE, "Elle se trouve rue de la Liberté, à côté de la poste."))
    few = line_with(line, line.now, suggestion={"answers": 1})  # type: ignore[arg-type]
    shelf = Suggestions(few)
    await story.customer_writes(AGAIN, author="someone")
    number = (await story.conversation()).id or 0
    assert await shelf.offers(number) == []
    await story.customer_writes(ASKS, author="next")
    await story.agent_answers(amina, HELP)
    await learned(line)
    assert [offer.text for offer in await shelf.offers(number)] == [HELP]


async def test_a_new_model_encodes_everything_again_in_batches_and_old_vectors_are_not_compared(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, _ = await answered(line, (ASKS, HELP), (ELSE, "Elle se trouve rue de la Liberté."))
    before = await vectors(story)
    assert all(vector for vector, _ in before)
    await offers(story, line, AGAIN)  # the FAQ's vectors are kept too
    other = replace(line, model=_other_model(line))
    shelf = Suggestions(other)
    number = (await story.conversation()).id or 0
    assert await shelf.offers(number) == [], "vectors of the old model are left alone"
    monkeypatch.setattr("socialcrm.engine.learn.BATCH", 1)
    assert await learned(other) == 2
    after = await vectors(story)
    assert {model for _, model in after}.isdisjoint({model for _, model in before})
    assert [offer.text for offer in await shelf.offers(number)] == [HELP]
    assert await learned(other) == 0


async def test_a_text_that_is_known_is_not_encoded_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    story, amina = await answered(line, (ASKS, HELP))
    await offers(story, line, AGAIN)
    asked: list[str] = []
    real = suggest.encoded

    async def counting(model: Any, texts: Any) -> dict[str, bytes]:
        asked.extend(texts)
        return await real(model, texts)

    monkeypatch.setattr("socialcrm.engine.suggest.encoded", counting)
    monkeypatch.setattr("socialcrm.engine.learn.encoded", counting)
    await story.customer_writes(ASKS, author="next")
    await story.agent_answers(amina, HELP)
    await learned(line)
    assert await Suggestions(line).offers((await story.conversation()).id or 0) == []
    assert asked == [], "neither the question nor the FAQ after a restart"


async def test_answers_from_before_there_were_suggestions_are_learned_too(line: Line) -> None:
    story, _ = await answered(line, (ASKS, HELP))
    migration = import_module("socialcrm.migrations.versions.0003_suggestions")
    async with line.database.write() as session:
        await session.execute(delete(Suggestion))
        await session.execute(migration.ANSWERS)
    assert await learned(line) == 1
    assert [offer.text for offer in await offers(story, line, AGAIN)] == [HELP]


async def test_the_timetable_learns_by_itself(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    story, amina = await answered(line)
    await story.customer_writes(ASKS, author="lyes")
    await story.agent_answers(amina, HELP)
    monkeypatch.setattr("socialcrm.engine.schedule.LEARN_SECONDS", 0.05)
    timetable = Timetable(line)
    await timetable.start()
    try:
        async with asyncio.timeout(20):
            while not all(vector for vector, _ in await vectors(story)):
                await asyncio.sleep(0.02)
    finally:
        await timetable.stop()
    assert await offers(story, line, AGAIN)


async def test_thanks_and_spam_are_no_questions(line: Line) -> None:
    story, _ = await answered(line, ("merci beaucoup pour votre aide", "Avec plaisir, nous restons à votre écoute !"))
    assert await offers(story, line, "merci beaucoup pour votre aide") == []


async def test_it_can_be_switched_off(line: Line) -> None:
    story, _ = await answered(line, (ASKS, HELP))
    off = line_with(line, line.now, suggestion={"is_on": False})  # type: ignore[arg-type]
    assert await offers(story, off, AGAIN) == []


def _other_model(line: Line) -> Model:
    """A model whose vectors have another name: without an encoder where there is one, with one where there is none."""
    pipeline = line.pipeline
    changed = Pipeline(pipeline.components, None if pipeline.encoder else _Encoder(), pipeline.heads)  # type: ignore[arg-type]
    return Model(line.database, line.settings.storage.folder, lambda _: changed, changed)


class _Encoder:
    """Finds texts alike that have words in common."""

    name = "words"

    def vectors(self, texts: Any) -> Any:
        import numpy as np

        from nlp.suggest import Likeness

        return Likeness(None).vectors([text.replace("?", "") for text in texts]).astype(np.float32)
