"""The replay of a conversation into its promises, without a database."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from socialcrm.domain.promise import ALWAYS, Happened, Said, moment, next_moment, outcome, spans
from socialcrm.domain.sla import Measure, Policy, read_policy

START = datetime(2026, 4, 13, 8, tzinfo=UTC)
TARGETS = {"first_response": 60, "next_response": 60, "resolution": 240}


def policy(**data: object) -> Policy:
    return read_policy(1, "Test", {"targets": TARGETS, **data})


def log(*entries: tuple[str, float]) -> tuple[list[Said], list[Happened]]:
    """Messages and events by their minute: customer, agent, bot, or the kind of an event ("paused:customer")."""
    numbers, messages, events = count(1), [], [Happened(0, "opened", START)]
    for what, minute in entries:
        at = START + timedelta(minutes=minute)
        if what == "customer":
            messages.append(Said(next(numbers), "in", "contact", at, at))
        elif what in ("agent", "bot"):
            messages.append(Said(next(numbers), "out", what, at, at, agent_id=7 if what == "agent" else None))
        else:
            kind, _, reason = what.partition(":")
            events.append(Happened(next(numbers), kind, at, 7, reason))
    return messages, events


def seen(made: Policy, *entries: tuple[str, float]) -> list[tuple[str, int, float, float | None]]:
    """Measure, place, first and last minute of each promise."""

    def minute(at: datetime | None) -> float | None:
        return None if at is None else (at - START) / timedelta(minutes=1)

    found = spans(made, *log(*entries))
    return [(s.measure.value, s.place, minute(s.started_at) or 0.0, minute(s.ended_at)) for s in found]


def test_several_messages_in_a_row_are_one_promise() -> None:
    found = seen(policy(), ("customer", 0), ("customer", 1), ("agent", 9), ("customer", 20), ("customer", 25))
    assert found == [("first_response", 0, 0, 9), ("resolution", 0, 0, None), ("next_response", 0, 20, None)]


def test_an_answer_of_the_bot_counts_where_the_policy_says_so_and_until_it_hands_over() -> None:
    talk = (("customer", 0), ("bot", 1), ("customer", 5), ("bot", 6), ("handed_over", 6), ("bot", 7), ("agent", 30))
    only = {"targets": {"first_response": 60, "next_response": 60}}
    assert seen(policy(**only), *talk) == [("first_response", 0, 0, 30)]
    assert seen(policy(**only, has_bot_answers=True), *talk) == [
        ("first_response", 0, 0, 1),
        ("next_response", 0, 5, 6),
        ("next_response", 1, 6, 30),
    ]


def test_an_answer_that_was_written_before_the_question_came_in_is_none() -> None:
    messages, events = log(("customer", 0), ("agent", 9.5))
    slow = Said(9, "in", "contact", START + timedelta(minutes=9), START + timedelta(minutes=10))
    found = spans(policy(), [*messages, slow], events)
    waiting = [s for s in found if s.measure is Measure.NEXT_RESPONSE]
    assert [(s.started_at, s.ended_at) for s in waiting] == [(START + timedelta(minutes=9.5), None)]


WHATS = ("customer", "agent", "bot", "paused:customer", "paused:third_party", "resumed", "resolved", "reopened")
talks = st.lists(st.tuples(st.sampled_from(WHATS), st.integers(0, 600)), max_size=25)
policies = st.builds(
    policy,
    pauses=st.lists(st.sampled_from(["customer", "third_party", "answered"]), unique=True),
    has_bot_answers=st.booleans(),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(policies, talks, st.integers(0, 900))
def test_whatever_happens_promises_are_sound(made: Policy, talk: Sequence[tuple[str, int]], minute: int) -> None:
    entries = sorted(talk, key=lambda entry: entry[1])
    now = START + timedelta(minutes=minute)
    found = spans(made, *log(*[(what, float(at)) for what, at in entries if at <= minute]))
    for measure in Measure:
        mine = [s for s in found if s.measure is measure]
        assert [s.place for s in mine] == list(range(len(mine)))
        assert all(s.ended_at is not None for s in mine[:-1]), "only the newest of a kind runs"
        assert all(a.ended_at is not None and a.ended_at <= b.started_at for a, b in zip(mine, mine[1:], strict=False))
    for span in found:
        target = made.targets[span.measure]
        result = outcome(span, ALWAYS, target, now)
        assert result.business + result.paused == result.wall
        assert timedelta() <= result.business
        if result.due_at is not None:
            assert result.due_at >= span.started_at + target
            assert moment(span, ALWAYS, target / 2, now) is not None
        if result.breached_at is not None:
            assert result.business >= target
        told, last = 0, None
        while step := next_moment(span, ALWAYS, target, made.percents, told, now):
            assert step[1] > told
            assert last is None or step[0] >= last
            told, last = step[1], step[0]
