"""Who gets a conversation, and why."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.routing import Choice, Need, Overflow, Routing, Seat, choose, leaves

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SUPPORT, TECHNIQUE = 1, 2


def seat(number: int, **values: object) -> Seat:
    told: dict[str, object] = {"name": f"Agent {number}", "team_ids": {SUPPORT}, "limits": {"chats": 4, "comments": 10}}
    return Seat(agent_id=number, **{**told, **values})  # type: ignore[arg-type]


def chosen(
    need: Need, *seats: Seat, overflows: dict[int, Overflow] | None = None, **rules: object
) -> tuple[int | None, ...]:
    choice = choice_of(need, *seats, overflows=overflows, **rules)
    return (choice.seat.agent_id if choice.seat else None, *choice.why)  # type: ignore[arg-type]


def choice_of(need: Need, *seats: Seat, overflows: dict[int, Overflow] | None = None, **rules: object) -> Choice:
    return choose(need, seats, Routing(**rules), overflows or {})  # type: ignore[arg-type]


CHAT = Need(SUPPORT, "chats")


def test_the_least_busy_gets_it_and_among_equals_who_had_nothing_for_longest() -> None:
    assert chosen(CHAT, seat(1, busy={"chats": 2}), seat(2, busy={"chats": 1})) == (2, "least_busy")
    assert chosen(CHAT, seat(1, given_at=20.0), seat(2, given_at=10.0)) == (2, "longest_idle")
    assert chosen(CHAT, seat(1)) == (1, "only")


def test_busy_is_a_share_of_what_somebody_can_take() -> None:
    learner = seat(1, limits={"chats": 2}, busy={"chats": 1})
    expert = seat(2, limits={"chats": 8}, busy={"chats": 2})
    assert chosen(CHAT, learner, expert) == (2, "least_busy")


def test_nobody_gets_more_than_their_limit_and_comments_are_counted_apart() -> None:
    full = seat(1, busy={"chats": 4})
    assert chosen(CHAT, full) == (None, "full")
    assert chosen(Need(SUPPORT, "comments"), full) == (1, "only")
    assert chosen(Need(SUPPORT, "email"), full) == (None, "full"), "a kind without a limit is not given out"


def test_only_people_of_the_team_get_it() -> None:
    assert chosen(CHAT, seat(1, team_ids={TECHNIQUE})) == (None, "absent")
    assert chosen(CHAT, seat(1, team_ids={TECHNIQUE, SUPPORT})) == (1, "only")
    assert chosen(Need(None, "chats"), seat(1)) == (None, "absent")


def test_who_knows_the_customer_comes_before_who_is_less_busy_and_a_rules_wish_before_both() -> None:
    seats = [seat(1), seat(2, busy={"chats": 2}), seat(3, busy={"chats": 3})]
    assert chosen(Need(SUPPORT, "chats", known_agent_id=2), *seats) == (2, "known")
    assert chosen(Need(SUPPORT, "chats", known_agent_id=2, wanted_agent_id=3), *seats) == (3, "wanted")
    seats[1].busy["chats"] = 4
    assert chosen(Need(SUPPORT, "chats", known_agent_id=2), *seats) == (1, "least_busy"), (
        "who is full is not waited for"
    )


def test_a_conversation_waits_a_little_for_somebody_who_speaks_its_language() -> None:
    french, arabic = seat(1, languages={"fr"}), seat(2, languages={"ar"}, busy={"chats": 3})
    need = Need(SUPPORT, "chats", language="ar")
    assert chosen(need, french, arabic) == (2, "language:ar", "only")
    assert chosen(need, french) == (None, "no_language:ar")
    arabic.busy["chats"] = 4
    assert chosen(need, french, arabic) == (None, "full"), "somebody who speaks it is here"
    late = Need(SUPPORT, "chats", language="ar", waited=timedelta(minutes=5))
    assert chosen(late, french, arabic) == (1, "without_language:ar", "only")
    assert chosen(need, seat(3)) == (3, "only"), "who names no languages answers in any"


def test_a_skill_that_a_rule_asked_for_is_waited_for_and_then_done_without() -> None:
    plain, able = seat(1), seat(2, skills={"fibre"}, busy={"chats": 3})
    need = Need(SUPPORT, "chats", skill="fibre")
    assert chosen(need, plain, able) == (2, "skill:fibre", "only")
    assert chosen(need, plain) == (None, "no_skill:fibre")
    late = Need(SUPPORT, "chats", skill="fibre", waited=timedelta(minutes=30))
    assert chosen(late, plain) == (1, "without_skill:fibre", "only")
    assert chosen(late, plain, able) == (2, "skill:fibre", "only"), "still who has it, while there is room"


def test_another_team_helps_out_after_a_while_but_only_when_the_own_one_cannot() -> None:
    own, other = seat(1, busy={"chats": 4}), seat(2, team_ids={TECHNIQUE})
    overflows = {SUPPORT: Overflow(TECHNIQUE, timedelta(minutes=15))}
    assert chosen(CHAT, own, other, overflows=overflows) == (None, "full")
    late = Need(SUPPORT, "chats", waited=timedelta(minutes=15))
    assert chosen(late, own, other, overflows=overflows) == (2, f"overflow:{TECHNIQUE}", "only")
    own.busy["chats"] = 3
    assert chosen(late, own, other, overflows=overflows) == (1, "only")


def test_who_did_not_answer_does_not_get_it_back() -> None:
    need = Need(SUPPORT, "chats", avoided_agent_id=1, known_agent_id=1)
    assert chosen(need, seat(1), seat(2, busy={"chats": 3})) == (2, "only")
    assert chosen(need, seat(1)) == (None, "avoided")


def test_a_kind_of_channel_can_be_counted_apart() -> None:
    routing = Routing(apart={"email": 12})
    assert routing.bucket("email", "direct_message") == "email"
    assert (routing.bucket("x", "direct_message"), routing.bucket("x", "mention")) == ("chats", "comments")
    assert (routing.limit("email", {}), routing.limit("email", {"email": 3}), routing.limit("chats", {})) == (12, 3, 4)


@pytest.mark.parametrize(
    ("presence", "minutes", "expected"),
    [
        ("online", 59, ""),
        ("online", 60, "silent:60"),
        ("away", 19, ""),
        ("away", 20, "away:20"),
        ("offline", 4, ""),
        ("offline", 5, "offline:5"),
    ],
)
def test_customers_do_not_wait_for_who_is_silent_away_or_gone(presence: str, minutes: int, expected: str) -> None:
    since = NOW - timedelta(minutes=minutes)
    assert leaves(presence, True, since, True, Routing(), NOW) == expected


def test_what_is_never_taken_away() -> None:
    since = NOW - timedelta(days=3)
    never = Routing(silent_minutes=0, away_minutes=0, offline_minutes=0)
    assert [leaves(p, True, since, True, never, NOW) for p in ("online", "away", "offline")] == ["", "", ""]
    assert leaves("online", True, since, False, Routing(), NOW) == "", "there is nobody else to give it to"
    assert leaves("online", False, NOW, False, never, NOW) == "inactive", "but nobody keeps it who may not sign in"


SEATS = st.lists(
    st.builds(
        seat,
        st.integers(1, 6),
        team_ids=st.sets(st.sampled_from((SUPPORT, TECHNIQUE))),
        languages=st.sets(st.sampled_from(("fr", "ar", "en"))),
        skills=st.sets(st.sampled_from(("fibre", "vip"))),
        busy=st.fixed_dictionaries({"chats": st.integers(0, 6)}),
        given_at=st.floats(0, 100),
    ),
    max_size=6,
    unique_by=lambda s: s.agent_id,
)
NEEDS = st.builds(
    Need,
    team_id=st.sampled_from((SUPPORT, TECHNIQUE, None)),
    bucket=st.sampled_from(("chats", "comments", "email")),
    language=st.sampled_from(("", "fr", "ar", "arq-Latn")),
    skill=st.sampled_from(("", "fibre")),
    wanted_agent_id=st.none() | st.integers(1, 6),
    known_agent_id=st.none() | st.integers(1, 6),
    avoided_agent_id=st.none() | st.integers(1, 6),
    waited=st.timedeltas(timedelta(), timedelta(hours=2)),
)


@given(NEEDS, SEATS, st.booleans())
def test_whoever_is_chosen_has_room_belongs_there_and_there_is_always_a_reason(
    need: Need, seats: list[Seat], is_helped: bool
) -> None:
    overflows = {SUPPORT: Overflow(TECHNIQUE, timedelta(minutes=15))} if is_helped else {}
    choice = choice_of(need, *seats, overflows=overflows)
    assert choice.why
    if choice.seat is None:
        return
    assert choice.seat.has_room(need.bucket)
    assert choice.seat.agent_id != need.avoided_agent_id
    helped = TECHNIQUE in choice.seat.team_ids and is_helped and need.waited >= timedelta(minutes=15)
    assert need.team_id in choice.seat.team_ids or (need.team_id == SUPPORT and helped)
    is_patient = need.waited < timedelta(minutes=5)
    assert choice.seat.speaks(need.language) or not is_patient
