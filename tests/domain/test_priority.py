"""How urgent a conversation is."""

from datetime import UTC, datetime, timedelta

from socialcrm.domain.conversation import Conversation
from socialcrm.domain.priority import Facts, Weights, score

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def conversation(**values: object) -> Conversation:
    told: dict[str, object] = {"channel_id": 1, "contact_id": 1, "thread_key": "a", "kind": "direct_message"}
    return Conversation(**{**told, "opened_at": NOW, "last_message_at": NOW, **values})  # type: ignore[arg-type]


def test_a_quiet_question_that_just_came_has_no_points() -> None:
    assert (
        score(conversation(), Facts(), Weights(), NOW).total,
        score(conversation(), Facts(), Weights(), NOW).terms,
    ) == (
        0.0,
        {},
    )


def test_every_term_adds_its_points_and_the_sum_is_what_is_shown() -> None:
    busy = conversation(
        kind="comment",
        priority="urgent",
        sentiment="negative",
        is_complaint=True,
        labels=["vip", "other"],
        waiting_since_at=NOW - timedelta(minutes=90),
    )
    facts = Facts(tier="gold", repeats=2, sla_risk=0.5)
    found = score(busy, facts, Weights(labels={"vip": 7}), NOW)
    assert found.terms == {
        "priority": 60,
        "complaint": 20,
        "sentiment": 10,
        "public": 10,
        "repeat": 10,
        "waiting": 15,
        "sla": 20,
        "tier": 30,
        "labels": 7,
    }
    assert found.total == sum(found.terms.values())


def test_waiting_and_repeats_count_only_so_far() -> None:
    old = conversation(waiting_since_at=NOW - timedelta(days=9))
    assert score(old, Facts(repeats=50, sla_risk=3.0), Weights(), NOW).terms == {
        "waiting": 120,
        "repeat": 25,
        "sla": 40,
    }
    ahead = conversation(waiting_since_at=NOW + timedelta(hours=1))
    assert score(ahead, Facts(), Weights(), NOW).total == 0, "a clock that runs ahead takes nothing away"


def test_a_weight_of_nothing_leaves_its_term_out() -> None:
    angry = conversation(sentiment="negative", is_complaint=True, priority="low")
    weights = Weights(negative=0, complaint=3)
    assert score(angry, Facts(), weights, NOW).terms == {"priority": -30, "complaint": 3}
