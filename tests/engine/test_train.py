"""Training: what is learned, what is held out, what may go live, and the way back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nlp.pipeline import Document, Field, Pipeline, Prediction
from socialcrm.app import open_line
from socialcrm.domain.rows import Analysis, Message, ModelVersion
from socialcrm.domain.teaching import Source
from socialcrm.engine.correct import confirm, correct
from socialcrm.engine.line import Line
from socialcrm.engine.model import Model
from socialcrm.engine.train import CannotTrain, Comparison, Example, Verdict, collect, rollback, train
from tests.story import Story

SUBJECTS = ("livraison", "facture", "carte", "forfait", "box", "colis", "rendez-vous", "boutique")
TALK = [f"mise en zorblax du {subject} {number} demain" for subject in SUBJECTS for number in range(10)]
"""Texts with a word that no model knows, of which people say that they are adverts."""


async def talk(story: Story, texts: list[str] = TALK) -> list[Message]:
    """Messages that went through the line."""
    await story.platform_says(
        [{"id": str(n), "author": "lyes", "text": text, "kind": "direct_message"} for n, text in enumerate(texts)]
    )
    return await story.messages()


async def teach(story: Story, label: str = "spam") -> list[Message]:
    """People say of all messages that their intent is this."""
    agent, messages = await story.agent("Amina"), await talk(story)
    async with story.line.database.write() as session:
        for message in messages:
            row = await session.get_one(Message, message.id)
            await correct(session, story.line, row, {"intent": label}, agent, Source.INBOX)
    return messages


async def versions(line: Line) -> list[ModelVersion]:
    return list(await Story(line, None, None).rows(ModelVersion))  # type: ignore[arg-type]


def files(line: Line) -> list[str]:
    folder = line.settings.storage.folder / "models"
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


def intents(line: Line, texts: list[str]) -> set[str]:
    return {document.intent.label for document in line.pipeline.analyze(texts) if document.intent}


async def test_a_training_that_helps_goes_live_and_is_used_at_once(line: Line) -> None:
    story = await Story.begin(line)
    await teach(story)
    steps: list[str] = []
    verdict = await train(line, on_step=steps.append)
    assert steps == ["reading", "learning", "comparing", "deciding"]
    total = verdict.comparisons["total"]
    assert (verdict.learned + verdict.held_out, total.count) == (len(TALK), verdict.held_out)
    assert verdict.is_better
    assert total.new > total.old
    (row,) = await versions(line)
    assert (row.id, row.status, row.previous_id) == (verdict.version, "live", None)
    assert row.figures["fields"]["intent"]["new"] == total.new
    assert files(line) == [row.path]
    assert line.model.version == row.id
    await story.customer_writes("mise en zorblax de la fibre 99 demain", author="samia")
    understood = (await story.last_understood())[1]
    assert (understood.intent, understood.model) == ("spam", row.name)


async def test_a_training_that_does_not_help_is_rejected_and_leaves_no_file(line: Line) -> None:
    story = await Story.begin(line)
    agent, messages = await story.agent("Amina"), await talk(story)
    async with line.database.write() as session:
        for message in messages:
            await confirm(session, line, await session.get_one(Message, message.id), agent)
    before = line.pipeline
    verdict = await train(line)
    assert not verdict.is_better, "what is always right cannot become better"
    (row,) = await versions(line)
    assert row.status == "rejected"
    assert files(line) == []
    assert line.pipeline is before


async def test_a_dry_run_says_what_would_come_of_it_and_changes_nothing(line: Line) -> None:
    story = await Story.begin(line)
    await teach(story)
    verdict = await train(line, is_dry=True)
    assert (verdict.is_better, verdict.is_dry, verdict.version) == (True, True, None)
    assert (await versions(line), files(line), line.model.version) == ([], [], None)


async def test_with_few_corrections_it_says_how_many_are_missing(line: Line) -> None:
    story = await Story.begin(line)
    agent, (message,) = await story.agent("Amina"), await talk(story, ["salam"])
    async with line.database.write() as session:
        row = await session.get_one(Message, message.id)
        await correct(session, line, row, {"intent": "spam"}, agent, Source.INBOX)
    with pytest.raises(CannotTrain, match=r"^49 more corrections are needed: there are 1 of 50\.$"):
        await train(line)


@dataclass(frozen=True)
class Elsewhere:
    """Another back end that fills the intent."""

    field: Field = "intent"
    labels: tuple[str, ...] = ("other", "spam")

    def predict(self, documents: Sequence[Document]) -> list[Prediction]:
        return [Prediction("other", 1.0, {"other": 1.0, "spam": 0.0}, "elsewhere/intent") for _ in documents]


async def test_what_another_model_fills_is_left_out_and_the_rest_is_learned(line: Line) -> None:
    def load(heads: Path | None) -> Pipeline:
        return Pipeline.load(heads=heads).with_component(Elsewhere())

    line = replace(line, model=Model(line.database, line.model.folder, load, load(None)))
    story = await Story.begin(line)
    messages = await teach(story)
    with pytest.raises(CannotTrain, match=r"^50 more .* 0 of 50, without those of intent, which another model fills"):
        await train(line)
    agent = await story.agent("Yacine")
    async with line.database.write() as session:
        for message in messages:
            row = await session.get_one(Message, message.id)
            await correct(session, line, row, {"sentiment": "positive"}, agent, Source.INBOX)
    verdict = await train(line)
    assert verdict.left_out == ("intent",)
    assert verdict.learned + verdict.held_out == len(TALK)
    assert verdict.comparisons["intent"].count == 0
    assert verdict.is_better
    (document,) = line.pipeline.analyze(TALK[:1])
    assert document.sentiment is not None
    assert (document.sentiment.label, intents(line, TALK)) == ("positive", {"other"})


async def test_to_roll_back_leads_to_what_was_before_and_at_last_to_the_shipped_model(line: Line) -> None:
    story = await Story.begin(line)
    messages = await teach(story)
    first = await train(line)
    agent = await story.agent("Yacine")
    async with line.database.write() as session:
        for message in messages:
            row = await session.get_one(Message, message.id)
            await correct(session, line, row, {"intent": "purchase"}, agent, Source.INBOX)
    second = await train(line)
    assert [(row.id, row.status) for row in await versions(line)] == [
        (first.version, "retired"),
        (second.version, "live"),
    ]
    assert intents(line, TALK[:5]) == {"purchase"}
    before = await rollback(line)
    assert before is not None
    assert before.id == first.version == line.model.version
    assert intents(line, TALK[:5]) == {"spam"}
    assert await rollback(line) is None
    assert line.model.version is None
    assert {row.status for row in await versions(line)} == {"retired"}
    with pytest.raises(CannotTrain, match="nothing to go back to"):
        await rollback(line)


async def test_another_process_and_the_next_start_use_the_live_version(line: Line) -> None:
    story = await Story.begin(line)
    await teach(story)
    async with open_line(line.settings, pipeline=line.pipeline) as beside:
        verdict = await train(line)
        assert beside.model.version is None
        await beside.model.refresh(now=True)
        assert beside.model.version == verdict.version
        assert intents(beside, TALK[:3]) == {"spam"}
    async with open_line(line.settings, pipeline=line.pipeline) as next_start:
        assert next_start.model.version == verdict.version


@pytest.mark.parametrize("damage", ["missing", "garbage", "cut", "of another encoder"])
async def test_a_heads_file_that_cannot_be_used_does_not_stop_the_line(line: Line, damage: str) -> None:
    folder: Path = line.settings.storage.folder / "models"
    folder.mkdir(parents=True)
    path = folder / "heads.npz"
    if damage == "of another encoder":
        shipped = line.pipeline.heads
        assert shipped is not None
        replace(shipped, name="hybrid-0+1").save(path)
    elif damage != "missing":
        path.write_bytes(b"PK\x03\x04" + b"\x00" * 40 if damage == "cut" else b"nothing of the kind")
    async with line.database.write() as session:
        values = {"path": path.name, "name": "broken", "made_at": line.now(), "status": "live"}
        session.add(ModelVersion(**values))
    async with open_line(line.settings) as opened:
        assert opened.model.version is not None
        assert opened.model.problem.startswith("heads.npz: ")
        story = await Story.begin(opened)
        await story.customer_writes("la connexion ta3kom mayta")
        assert isinstance((await story.last_understood())[1], Analysis)
        await rollback(opened)
        assert opened.model.problem == ""


async def test_two_versions_are_never_live(line: Line) -> None:
    story = await Story.begin(line)
    await teach(story)
    made = await asyncio.gather(train(line), train(line), return_exceptions=True)
    live = [row for row in await versions(line) if row.status == "live"]
    assert len(live) == 1
    assert live[0].path in files(line)
    assert all(isinstance(one, Verdict | CannotTrain) for one in made)
    assert len(files(line)) == len([one for one in made if isinstance(one, Verdict) and one.is_better])


async def test_the_newest_word_on_a_field_is_learned_and_a_reason_only_of_a_complaint(line: Line) -> None:
    story = await Story.begin(line)
    agent, (message,) = await story.agent("Amina"), await talk(story, ["la box est en panne"])
    async with line.database.write() as session:
        row = await session.get_one(Message, message.id)
        await correct(session, line, row, {"intent": "spam", "complaint": "complaint"}, agent, Source.SAMPLE)
        await correct(session, line, row, {"reason": "lost"}, agent, Source.SAMPLE)
        await correct(session, line, row, {"intent": "question"}, agent, Source.INBOX)
        found = {e.field: e.label for e in await collect(session)}
        assert found == {"intent": "question", "complaint": "complaint", "reason": "lost"}
        await correct(session, line, row, {"complaint": "other"}, agent, Source.INBOX)
        assert {e.field for e in await collect(session)} == {"intent", "complaint"}


def test_a_fifth_of_the_messages_is_held_out_always_the_same_ones() -> None:
    held_out = [n for n in range(5000) if Example(n, "", "intent", "spam").is_held_out]
    assert 900 < len(held_out) < 1100
    assert held_out[:3] == [n for n in range(40) if Example(n, "x", "sentiment", "positive").is_held_out][:3]


def test_a_field_that_gets_significantly_worse_keeps_a_better_total_from_going_live() -> None:
    better = Comparison(count=100, old=50, new=70, only_old=5, only_new=25)
    worse = Comparison(count=40, old=38, new=28, only_old=11, only_new=1)
    few = Comparison(count=19, old=19, new=0, only_old=19, only_new=0)
    assert Verdict(1, 1, {"intent": better, "language": few, "total": better}).is_better
    verdict = Verdict(1, 1, {"intent": better, "sentiment": worse, "total": better})
    assert verdict.worse == ("sentiment",)
    assert not verdict.is_better
    same = Comparison(count=100, old=50, new=50, only_old=5, only_new=5)
    assert not Verdict(1, 1, {"intent": same, "total": same}).is_better
