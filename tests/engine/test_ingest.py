"""Raw events become contacts, conversations and messages: each once, and every one accounted for."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from connectors import base
from connectors.base import Refused
from socialcrm.domain.rows import Analysis, Contact, Conversation, ConversationEvent, Identity, Post, RuleTrace
from socialcrm.engine import ledger
from socialcrm.engine.ingest import ingest
from socialcrm.engine.ledger import LedgerCounts
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.scripted import begin, on_one_database
from tests.story import Clock, Story, line_with

pytestmark = pytest.mark.both_databases

COMPLAINT = "My internet has been down for three days, this is unacceptable!"


async def book(line: Line) -> LedgerCounts:
    async with line.database.read() as session:
        found = await ledger.counts(session)
    assert found.is_balanced
    return found


async def test_an_event_that_comes_again_is_a_duplicate_and_nothing_is_done_twice(line: Line) -> None:
    story = await Story.begin(line)
    for drains in (True, True, False, True):  # the third and the fourth are in one batch
        await story.customer_writes(COMPLAINT, number="m-1", drains=drains)
    assert [fate for fate, _ in await story.fates()] == ["stored", "duplicate", "duplicate", "duplicate"]
    assert len(await story.messages()) == len(await story.rows(Analysis)) == len(await story.rows(RuleTrace)) == 1
    assert len(story.sent()) == 1
    conversation = await story.conversation()
    assert (conversation.message_count, conversation.unread_count) == (2, 1)


@on_one_database
async def test_the_same_number_on_another_channel_is_another_message(line: Line) -> None:
    first, second = await Story.begin(line, "one"), await Story.begin(line, "two")
    await first.customer_writes("hello", number="m-1")
    await second.customer_writes("hello", number="m-1")
    assert len(await first.messages()) == len(await first.rows(Contact)) == 2


async def test_the_ledger_balances_whatever_comes(line: Line) -> None:
    story, _ = await begin(line)
    dice = random.Random(5)
    kinds: list[tuple[str, dict[str, Any] | int]] = [
        ("stored", {"id": "", "author": "a", "text": "hello"}),
        ("duplicate", {"id": "first", "author": "a", "text": "hello again"}),
        ("ignored", {"id": "", "author": "a", "text": "of nothing", "change": "edit"}),
        ("ignored", {"id": "", "author": "a", "button": "not-ours"}),
        ("dead", {"id": "", "text": "from nobody"}),
        ("dead", {"id": "", "author": "a", "text": "poison"}),
        ("dead", 7),
    ]
    await story.platform_says([{"id": "first", "author": "a", "text": "hello"}])
    expected = Counter({"stored": 1})
    for batch in range(4):
        events: list[Any] = []
        for number in range(dice.randrange(1, 30)):
            fate, payload = dice.choice(kinds)
            if isinstance(payload, dict):
                payload = {**payload, "id": payload["id"] or f"{batch}-{number}"}
            events.append(payload)
            expected[fate] += 1
        await story.platform_says(events, drains=False)
        waiting = await book(line)
        assert (waiting.waiting, waiting.received) == (len(events), expected.total())
        await drain(line)
    found = await book(line)
    assert (found.waiting, found.received) == (0, expected.total())
    assert {fate: getattr(found, fate) for fate in expected} == expected


@on_one_database
async def test_an_unknown_payload_is_kept_with_the_reason(line: Line) -> None:
    story = await Story.begin(line)
    await story.platform_says([[], {"id": "1", "author": ""}, {"id": "2", "author": "a", "kind": "letter"}])
    await story.customer_presses("whatever")
    await story.customer_writes("new text", number="unheard-of", change="edit")
    assert [f for f, _ in await story.fates()] == ["dead", "dead", "dead", "ignored", "ignored"]
    reasons = [reason for _, reason in await story.fates()]
    for said, reason in zip(("JSON object", "author", "letter", "button", "do not have"), reasons, strict=True):
        assert said in reason


async def test_a_poisonous_event_dies_alone_and_can_be_replayed_after_the_fix(line: Line) -> None:
    story, _ = await begin(line)
    # One that our code cannot read, and one that no database stores, among good ones.
    texts = ["before", "poison", "after"]
    events: list[dict[str, Any]] = [{"id": text, "author": "a", "text": text} for text in texts]
    events.insert(2, {"id": "half \ud800", "author": "b", "text": "no number"})
    await story.platform_says(events)
    assert [fate for fate, _ in await story.fates()] == ["stored", "dead", "dead", "stored"]
    assert {m.text for m in await story.messages()} == {"before", "after"}
    letters = await ledger.dead_letters(line.database)
    assert [letter.reason for letter in letters] == [
        "internal error: RuntimeError",
        letters[1].reason,
    ]
    assert letters[1].reason.startswith("internal error: ")

    async with line.database.write() as session:
        channel = await session.get_one(type(story.channel), story.channel.id)
        channel.settings, channel.changed_at = {**channel.settings, "poison": "something else"}, line.now()
        assert await ledger.replay_dead(session, [letters[0].id or 0]) == 1
    await drain(line)
    assert (await story.fates())[1] == ("stored", "")
    assert (await story.fates())[2][0] == "dead"
    assert "poison" in {m.text for m in await story.messages()}
    assert (await book(line)).dead == 1


async def test_an_edit_is_understood_anew_and_answered_only_once(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("merci beaucoup", number="m-1")
    assert story.sent() == []
    _, analysis = await story.last_understood()
    assert analysis.sentiment == "positive"
    await story.customer_writes(COMPLAINT, number="m-1", change="edit")
    message, analysis = await story.last_understood()
    assert (message.text, analysis.sentiment, analysis.is_complaint) == (COMPLAINT, "negative", True)
    assert message.edited_at is not None
    assert len(await story.rows(Analysis)) == len(await story.rows(RuleTrace)) == 1
    assert story.sent() == []
    assert (await story.conversation()).message_count == 1


@on_one_database
async def test_an_edit_of_an_old_message_leaves_a_resolved_conversation_resolved(line: Line) -> None:
    story = await Story.begin(line)
    amina = await story.agent("Amina", team="technique")
    await story.customer_writes(COMPLAINT, number="m-1")
    await story.agent_resolves(amina)
    await story.customer_writes(COMPLAINT.replace("three", "two"), number="m-1", change="edit")
    assert (await story.conversation()).status == "resolved"
    assert "two days" in (await story.messages())[0].text


@on_one_database
async def test_a_deleted_message_is_marked_and_keeps_its_words_in_the_ledger(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("a secret", number="m-1")
    await story.customer_writes("", number="m-1", change="delete")
    [message] = await story.messages()
    assert message.deleted_at is not None


@on_one_database
async def test_what_somebody_hid_on_the_platform_is_marked_until_it_is_shown_again(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("scam!", number="m-1", kind="comment")
    await story.customer_writes("", number="m-1", change="hide")
    [message] = await story.messages()
    assert message.hidden_at is not None
    await story.customer_writes("", number="m-1", change="unhide")
    [message] = await story.messages()
    assert (message.hidden_at, message.text) == (None, "scam!")


async def test_an_edit_and_a_deletion_may_come_in_one_batch_with_their_message(line: Line) -> None:
    story = await Story.begin(line)
    events: list[dict[str, Any]] = [
        {"id": "1", "author": "a", "text": "changed", "change": "edit"},  # out of order: before its message
        {"id": "1", "author": "a", "text": "first"},
        {"id": "2", "author": "a", "text": "gone"},
        {"id": "2", "author": "a", "change": "delete"},
    ]
    await story.platform_says(events)
    first, second = await story.messages()
    assert (first.text, first.deleted_at, second.deleted_at is None) == ("changed", None, False)
    assert [fate for fate, _ in await story.fates()] == ["stored"] * 4


async def test_a_person_is_one_contact_and_a_thread_one_conversation(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("hello")
    await story.customer_writes("are you there?")
    await story.customer_writes("and here?", thread="post-7", kind="comment")
    await story.customer_writes("me too", author="nadia", thread="post-8", kind="comment")
    assert len(await story.rows(Contact)) == len(await story.rows(Identity)) == 2
    conversations = await story.rows(Conversation)
    assert [(c.thread_key, c.kind, c.message_count) for c in conversations] == [
        ("lyes", "direct_message", 2),
        ("post-7", "comment", 1),
        ("post-8", "comment", 1),
    ]
    assert conversations[0].preview == "are you there?"


@on_one_database
async def test_a_resolved_conversation_reopens_within_the_window_and_is_a_new_one_after_it(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock, survey={"is_on": False}))
    amina = await story.agent("Amina")
    await story.customer_writes("bonjour")
    await story.agent_resolves(amina)
    clock.forward(days=7)
    await story.customer_writes("c'est encore moi")
    [conversation] = await story.rows(Conversation)
    assert (conversation.status, conversation.resolved_at, conversation.agent_id) == ("open", None, amina.id)
    kinds = [e.kind for e in await story.rows(ConversationEvent)]
    assert kinds == ["opened", "assigned", "resolved", "reopened"]

    await story.agent_resolves(amina)
    clock.forward(days=7, seconds=1)
    await story.customer_writes("rebonjour")
    old, new = await story.rows(Conversation)
    assert (old.status, new.status, new.message_count) == ("resolved", "open", 1)
    assert old.contact_id == new.contact_id


@on_one_database
async def test_a_message_wakes_a_snoozed_conversation(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("bonjour")
    async with line.database.write() as session:
        (await session.get_one(Conversation, (await story.conversation()).id)).status = "snoozed"
    await story.customer_writes("alors ?")
    assert (await story.conversation()).status == "open"


async def test_three_times_are_kept_apart(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock))
    sent_at = clock.at - timedelta(hours=3)
    await story.customer_writes("hello", sent_at=sent_at, drains=False)
    received_at = clock.at
    clock.forward(minutes=5)
    await drain(story.line)
    [message] = await story.messages()
    assert (message.sent_at, message.received_at, message.processed_at) == (sent_at, received_at, clock.at)
    assert (await story.conversation()).waiting_since_at == sent_at


@on_one_database
async def test_a_clock_that_runs_ahead_does_not_hold_its_message_at_the_top(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock))
    await story.customer_writes("from next year", sent_at=clock.at + timedelta(days=365))
    [message] = await story.messages()
    assert message.sent_at == message.received_at == clock.at
    assert (await story.conversation()).last_message_at == clock.at


async def test_odd_texts_are_kept_as_they_are_and_only_unstorable_signs_go(line: Line) -> None:
    story = await Story.begin(line)
    kept = [
        "<script>alert('é')</script> & <b>gras</b>",
        "\u202egnp.exe\u202c and zero\u200bwidth\u200d joined\ufeff",
        "👩🏽‍🚒🇩🇿 ❤️‍🔥",
        "tab\tand\nnew line",
        "ﷺ مرحبا بكم ",
        "x" * 10_000,
    ]
    cleaned = {
        "nul\0 inside": "nul inside",
        "half \ud83d a pair": "half  a pair",
        "bell\a and esc\x1b[0m": "bell and esc[0m",
    }
    for text in (*kept, *cleaned):
        await story.customer_writes(text, drains=False, name="Zo\0é \udfff")
    await drain(line)
    assert [m.text for m in await story.messages()] == [*kept, *cleaned.values()]
    assert {fate for fate, _ in await story.fates()} == {"stored"}
    [contact] = await story.rows(Contact)
    assert contact.name == "Zoé "
    assert len((await story.conversation()).preview) <= 140
    assert len(await story.rows(Analysis)) == len(kept) + len(cleaned)


async def test_what_our_own_account_wrote_elsewhere_is_shown_and_never_answered(line: Line) -> None:
    story, script = await begin(line)
    amina = await story.agent("Amina", team="technique")
    await story.customer_writes(COMPLAINT, thread="t")
    assert len(script.got) == 1
    await story.customer_writes(COMPLAINT, author="us", thread="t", is_self=True)
    [own] = [m for m in await story.messages("out") if m.author_kind == "self"]
    assert (own.text, own.step) == (COMPLAINT, "done")
    conversation = await story.conversation()
    assert (len(script.got), conversation.unread_count, conversation.message_count) == (1, 1, 3)

    await story.agent_resolves(amina)
    value = (await story.messages("out"))[-1].buttons[4]["value"]
    await story.customer_presses(value)
    await story.customer_writes("we are on it", author="us", thread="t", is_self=True)
    survey = await story.survey()
    assert (survey.score, survey.comment) == (5, "")
    assert (await story.conversation()).status == "resolved"


async def test_channels_take_turns_so_that_a_flood_on_one_does_not_hold_up_another(line: Line) -> None:
    story = await Story.begin(line_with(line, line={"batch": 2}), "loud")
    quiet = await Story.begin(line, "quiet")
    for number in range(6):
        await story.customer_writes(f"n {number}", author=f"a{number}", drains=False)
    await quiet.customer_writes("me too", drains=False)
    await ingest(story.line)
    await ingest(story.line)
    assert "me too" in {m.text for m in await story.messages()}


POST = {"id": "p-1", "text": "Notre nouvelle box", "url": "https://platform.example/p-1", "author": "Wasla"}


async def test_a_post_is_kept_once_however_many_comments_stand_under_it(line: Line) -> None:
    story = await Story.begin(line)
    for number, author in enumerate(("lyes", "nadia", "lyes")):
        await story.customer_writes(
            "Combien ?", author=author, thread=f"t-{author}", kind="comment", post=POST, number=f"m-{number}"
        )
    await story.customer_writes(
        "Et là ?", thread="t-lyes", kind="comment", post={**POST, "text": "Notre box, moins chère"}
    )
    await story.customer_writes("bonjour")
    [post] = await story.rows(Post)
    assert (post.external_id, post.text, post.url, post.is_self) == ("p-1", "Notre box, moins chère", POST["url"], True)
    assert [c.post_id for c in await story.rows(Conversation)] == [post.id, post.id, None]


async def test_a_post_that_came_without_its_words_is_asked_for_once_and_is_nothing_to_wait_for(line: Line) -> None:
    clock = Clock()
    story, script = await begin(line_with(line, clock))
    script.posts["p-1"] = Refused("It is not shown to you.")
    await story.customer_writes("Combien ?", thread="t-1", kind="comment", post={"id": "p-1"})
    await story.customer_writes("Et quand ?", thread="t-2", kind="comment", post={"id": "p-1"})
    [post] = await story.rows(Post)
    assert (post.text, script.asked_for) == ("", ["p-1"])
    assert {c.post_id for c in await story.rows(Conversation)} == {post.id}
    script.posts["p-1"] = base.Post("p-1", "Notre nouvelle box", "javascript:alert(1)", "Wasla", True)
    clock.forward(hours=2)
    await story.customer_writes("Et où ?", thread="t-3", kind="comment", post={"id": "p-1"})
    [post] = await story.rows(Post)
    assert (post.text, post.url, post.author) == ("Notre nouvelle box", "", "Wasla")
    await story.customer_writes("Alors ?", thread="t-4", kind="comment", post={"id": "p-1"})
    assert script.asked_for == ["p-1", "p-1"]


@on_one_database
async def test_a_post_that_came_in_as_a_message_is_not_asked_for(line: Line) -> None:
    story, script = await begin(line)
    await story.customer_writes("Qui connaît cette boutique ?", author="nadia", number="visitors", kind="comment")
    await story.customer_writes("Moi aussi", thread="t-2", kind="comment", post={"id": "visitors"})
    [post] = await story.rows(Post)
    assert (post.text, post.author, post.is_self) == ("Qui connaît cette boutique ?", "Nadia", False)
    assert script.asked_for == []


async def test_an_old_edit_that_comes_late_is_an_earlier_text_and_hides_no_newer_one(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock))
    start = clock.at
    await story.customer_writes("first", number="m-1", sent_at=start)
    clock.forward(minutes=10)
    minute = [start + timedelta(minutes=n) for n in range(6)]
    for text, at in (("third", minute[3]), ("second", minute[2]), ("second", minute[2]), ("fourth", minute[4])):
        await story.customer_writes(text, number="m-1", change="edit", sent_at=at)
    [message] = await story.messages()
    assert (message.text, message.edited_at) == ("fourth", minute[4])
    assert [(v["text"], v["at"]) for v in message.versions] == [
        ("first", start.isoformat()),
        ("second", minute[2].isoformat()),
        ("third", minute[3].isoformat()),
    ]
    assert (await story.conversation()).preview == "fourth"
    await story.customer_writes("fourth", number="m-1", change="edit", sent_at=minute[5])
    await story.customer_writes("fifth", number="m-1", change="edit", sent_at=minute[4])
    assert (await story.messages())[0].text == "fourth", "the last edit brought the same words back"
    await story.customer_writes("", number="m-1", change="delete", sent_at=minute[5])
    assert (await story.messages())[0].deleted_at == minute[5]
    assert (await story.conversation()).preview == ""
