"""Accuracy: how often the model is right, as far as people have said."""

from datetime import UTC, datetime, timedelta

import pytest

from socialcrm.database import Database
from socialcrm.domain.likelihood import wilson
from socialcrm.domain.teaching import Source
from socialcrm.reports.accuracy import accuracy
from tests.teaching import Archive

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_the_sample_and_the_inbox_are_counted_apart(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, AT)
        numbers = await made.messages(40)
        await made.say(numbers[:30], "intent", "other", "other")
        await made.say(numbers[30:], "intent", "other", "spam")
        await made.say(numbers[:25], "intent", "other", "spam", source=Source.INBOX)
        found = await accuracy(session)
    sample = found[Source.SAMPLE].total.fields["intent"]
    assert (sample.count, sample.right, sample.share, sample.interval) == (40, 30, 0.75, wilson(30, 40))
    assert found[Source.INBOX].total.fields["intent"].share == 0
    assert found[Source.SAMPLE].total.fields["sentiment"].count == 0


async def test_nothing_is_said_of_fewer_than_twenty(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, AT)
        await made.say(await made.messages(19), "sentiment", "neutral", "neutral")
        before = (await accuracy(session))[Source.SAMPLE].total.fields["sentiment"]
        await made.say(await made.messages(1), "sentiment", "neutral", "neutral")
        after = (await accuracy(session))[Source.SAMPLE].total.fields["sentiment"]
    assert (before.is_few, before.share, before.interval) == (True, None, None)
    assert (after.is_few, after.share) == (False, 1.0)
    assert after.figures() == {"count": 20, "right": 20, "share": 1.0, "interval": wilson(20, 20)}


async def test_the_figures_are_broken_down_by_language_channel_model_and_label(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, AT)
        french = await made.messages(30, channel="site")
        arabic = await made.messages(20, channel="page", language="ar", sentiment="negative")
        await made.say(french, "sentiment", "neutral", "neutral")
        await made.say(arabic[:15], "sentiment", "negative", "negative")
        await made.say(arabic[15:], "sentiment", "negative", "neutral")
        found = (await accuracy(session))[Source.SAMPLE]
    by_language = {group.name: group.fields["sentiment"].share for group in found.groups["language"]}
    assert by_language == {"fr": 1.0, "ar": 0.75}
    assert [group.name for group in found.groups["channel"]] == ["site", "page"], "most judgements first"
    assert [group.name for group in found.groups["model"]] == ["model-1"]
    labels = {(row.name, row.label): row for row in found.labels}
    neutral, negative = labels["sentiment", "neutral"], labels["sentiment", "negative"]
    assert (neutral.found.right, neutral.found.count) == (30, 35), "five neutral ones were not found"
    assert (negative.said.right, negative.said.count) == (15, 20), "five were called negative wrongly"
    assert neutral.said.share == 1


async def test_only_what_was_said_since_a_time_counts_and_a_field_without_a_prediction_does_not(
    database: Database,
) -> None:
    async with database.write() as session:
        made = Archive(session, AT)
        await made.say(await made.messages(20), "reason", "", "billing")
        await made.say(await made.messages(20), "intent", "other", "other")
        assert (await accuracy(session))[Source.SAMPLE].total.fields["reason"].count == 0
        assert (await accuracy(session, AT))[Source.SAMPLE].total.fields["intent"].count == 20
        later = await accuracy(session, AT + timedelta(seconds=1))
    assert later[Source.SAMPLE].total.fields["intent"].count == 0
    assert later[Source.SAMPLE].labels == []


@pytest.mark.parametrize("source", list(Source))
async def test_without_judgements_there_is_nothing_but_no_error(database: Database, source: Source) -> None:
    async with database.read() as session:
        found = (await accuracy(session))[source]
    assert found.labels == []
    assert found.figures()["language"] == {}
