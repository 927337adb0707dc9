"""The rulebook: rules in rows, their versions, order and files; what a fresh installation starts with."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rows import Rule, RuleTally, RuleVersion
from socialcrm.domain.rule_file import read_file, write_file
from socialcrm.domain.rulebook import RuleError, read
from socialcrm.engine import rulebook
from socialcrm.engine.backtest import backtest
from socialcrm.engine.line import Line
from tests.engine.ruled import begin, labels, rule
from tests.engine.scripted import on_one_database
from tests.story import Story


async def save(story: Story, number: int | None = None, **data: Any) -> Rule:
    async with story.line.database.write() as session:
        return await rulebook.save(session, story.line, read(data, "Rule"), None, number)


async def names(story: Story) -> list[str]:
    async with story.line.database.read() as session:
        return [row.name for row in await rulebook.rules(session)]


async def test_a_fresh_installation_takes_the_rules_of_the_file_once(line: Line, pipeline: Pipeline) -> None:
    async with open_line(line.settings, pipeline=pipeline) as other:
        await asyncio.gather(*(rulebook.ensure(one) for one in (line, other, line, other)))
    story = await Story.begin(line)
    assert await names(story) == [body.name for body in line.engagement.rules]
    assert {row.why for row in await story.rows(RuleVersion)} == {"imported"}
    async with line.database.write() as session:
        for row in await rulebook.rules(session):
            await rulebook.remove(session, line, row.id or 0, None)
    await rulebook.ensure(line)
    assert await names(story) == [], "who deletes all rules has none"


async def test_a_changed_rule_counts_from_the_next_message_on_in_every_process(line: Line, pipeline: Pipeline) -> None:
    story, clock = await begin(line, rule("Label", [{"do": "label", "labels": ["old"]}]))
    async with open_line(line.settings, pipeline=pipeline) as other:
        second = replace(other, engagement=story.line.engagement, now=clock)
        [row] = await story.rows(Rule)
        await story.customer_writes("hello", author="a")
        await save(replace_line(story, second), row.id, **rule("Label", [{"do": "label", "labels": ["new"]}]))
    await story.customer_writes("hello", author="b")
    assert await labels(story) == ["new"]
    assert [version.version for version in await story.rows(RuleVersion)] == [1, 2]
    async with story.line.database.write() as session:
        await rulebook.restore(session, story.line, row.id or 0, 1, None)
    await story.customer_writes("hello", author="c")
    assert await labels(story) == ["old"]
    async with story.line.database.write() as session:
        await rulebook.switch(session, story.line, row.id or 0, False, None)
    await story.customer_writes("hello", author="d")
    assert await labels(story) == []
    async with story.line.database.write() as session:
        await rulebook.remove(session, story.line, row.id or 0, None)
        assert await rulebook.rules(session) == []
        await rulebook.restore(session, story.line, row.id or 0, 2, None)
    assert [v.why for v in await story.rows(RuleVersion)] == [
        *("imported", "changed", "restored", "switched_off", "deleted", "restored"),
    ]
    assert sum(row.count for row in await story.rows(RuleTally)) == 3


def replace_line(story: Story, line: Line) -> Story:
    return Story(line, story.channel, story.journal)


async def test_rules_are_moved_and_two_people_at_once_do_not_disturb_each_other(line: Line) -> None:
    story, _ = await begin(line, *(rule(name, []) for name in "ABCD"))
    numbers = {row.name: row.id or 0 for row in await story.rows(Rule)}

    async def move(name: str, step: int) -> None:
        async with story.line.database.write() as session:
            await rulebook.move(session, story.line, numbers[name], step)

    await move("D", -1)
    assert await names(story) == ["A", "B", "D", "C"]
    await move("A", -1)
    await move("C", 1)
    assert await names(story) == ["A", "B", "D", "C"]
    await asyncio.gather(*(move(name, 1) for name in "AB"), *(move(name, -1) for name in "CD"))
    assert sorted(await names(story)) == ["A", "B", "C", "D"]


@on_one_database
async def test_a_rule_that_cannot_be_kept_changes_nothing(line: Line) -> None:
    story, _ = await begin(line, rule("Again", [{"do": "reopen"}], on="resolved"), rule("Plain", []))
    for data, said in (
        (rule("Nowhere", [{"do": "team", "team": "moon"}]), "there is no team 'moon'"),
        (rule("Close", [{"do": "resolve"}], on="reopened"), "answer each other"),
        (rule("Plain", []), "another rule has this name"),
    ):
        with pytest.raises(RuleError, match=said):
            await save(story, **data)
    assert await names(story) == ["Again", "Plain"]
    assert len(await story.rows(RuleVersion)) == 2
    closed = await save(story, **rule("Close", [{"do": "resolve"}], on="reopened", is_on=False))
    async with story.line.database.write() as session:
        with pytest.raises(RuleError, match="answer each other"):
            await rulebook.switch(session, story.line, closed.id or 0, True, None)


@on_one_database
async def test_rules_go_out_to_a_file_and_come_in_again_all_or_none(line: Line) -> None:
    story, _ = await begin(line, rule("A", [{"do": "label", "labels": ["a"]}]), rule("B", []))
    async with story.line.database.write() as session:
        text = write_file([rulebook.body_of(row) for row in await rulebook.rules(session)])
        assert await rulebook.import_rules(session, story.line, read_file(text), None) == (0, 0)
        changed = text.replace('["a"]', '["b"]') + '\n[[rules]]\nname = "C"\nthen = { team = "support" }\n'
        assert await rulebook.import_rules(session, story.line, read_file(changed), None) == (1, 1)
    with pytest.raises(RuleError, match="moon"):
        async with story.line.database.write() as session:
            bad = '[[rules]]\nname = "D"\nthen = {}\n[[rules]]\nname = "E"\nthen = { team = "moon" }'
            await rulebook.import_rules(session, story.line, read_file(bad), None)
    assert await names(story) == ["A", "B", "C"]


async def test_a_back_test_says_how_often_on_whom_what_agents_did_and_whom_it_would_have_answered_wrongly(
    line: Line,
) -> None:
    story, clock = await begin(line, engagement={"auto_answer_window_hours": 1})
    amina = await story.agent("Amina")
    await story.customer_writes("Bonjour, ma facture est arrivée, merci", author="calm")
    clock.forward(minutes=20)
    await story.agent_answers(amina, "Bonjour, je regarde.")
    clock.forward(minutes=10)
    await story.customer_writes("et ma facture de mars ?", author="calm")
    clock.forward(hours=3)
    await story.customer_writes("ma facture est fausse, service nul, c'est honteux, inadmissible !", author="angry")
    await story.customer_writes("the network is down", author="other")
    draft = read(
        rule(
            "Bills",
            [{"do": "reply", "texts": {"fr": "Votre facture…"}}],
            when={"field": "words", "op": "any_of", "value": ["ma facture"]},
        ),
        "Rule",
    )
    wider = replace(draft, when=read(rule("x", []), "Rule").when)
    steps: list[int] = []
    found = await backtest(story.line, [draft, wider], 30, lambda state: steps.append(state.done))
    first, second = found.trials
    assert (first.read, first.fired, len(first.people), len(first.conversations)) == (4, 3, 2, 2)
    assert (first.would_answer, first.held_back, first.angry, first.late) == (2, 1, 1, 0)
    assert [one.past.text[:10] for one in first.wrong] == ["ma facture"]
    assert (first.answered, first.median_wait) == (1, 20)
    assert (second.fired, found.both, found.only_first, found.only_second) == (4, 3, 0, 1)
    assert steps[-1] == found.total == 4
    assert await labels(story) == [], "nothing was done"
    opened = replace(draft, on="opened")
    assert (await backtest(story.line, [opened], 30)).trials[0].fired == 2
    with pytest.raises(RuleError, match="silence"):
        await backtest(story.line, [replace(draft, on="agent_silent", silence_minutes=5)], 30)
