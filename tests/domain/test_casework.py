"""How severe a complaint is, where a case may go, what is due of it, and what looks like one incident."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Cases
from socialcrm.domain.case import Case, CaseStatus, Severity, as_reference, reference_of
from socialcrm.domain.casework import (
    MOVES,
    Ageing,
    CannotMove,
    Due,
    Signs,
    ask_until,
    check_move,
    harder,
    is_overdue,
    plan,
    severity_of,
    stop_clock,
    what_is_due,
)
from socialcrm.domain.incident import Complaint, Incident, belongs, suspect, text_for
from socialcrm.domain.phrases import word_set

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WORDS = tuple(Cases().critical_words)
HOUR = timedelta(hours=1)


def case(**values: object) -> Case:
    known = {"reference": "x", "conversation_id": 1, "contact_id": 1, "message_id": 1, "opened_at": NOW}
    return Case(**{**known, "due_at": NOW + 8 * HOUR, "promised_at": NOW + 8 * HOUR, **values})


@pytest.mark.parametrize(
    "text",
    [
        "Je vais porter plainte contre vous",
        "my lawyer will call you",
        "لقاؤنا في المحكمة",
        "غدوة نروح للمحكمة",
        "ghodwa rayeh l ma7kama",
    ],
)
def test_a_threat_or_a_danger_is_critical_in_every_language(text: str) -> None:
    assert severity_of(Signs(word_set(text)), WORDS) == (Severity.CRITICAL, "words")


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (Signs(frozenset(), intent="leaving"), (Severity.HIGH, "leaving")),
        (Signs(frozenset(), earlier_count=2), (Severity.HIGH, "repeated")),
        (Signs(frozenset(), priority="urgent"), (Severity.HIGH, "urgent")),
        (Signs(frozenset(), priority="low"), (Severity.LOW, "low")),
        (Signs(frozenset({"bonjour"}), earlier_count=1), (Severity.NORMAL, "")),
    ],
)
def test_severity_says_why(signs: Signs, expected: tuple[Severity, str]) -> None:
    assert severity_of(signs, WORDS) == expected


def test_a_severity_is_raised_to_the_highest_and_no_further() -> None:
    assert [harder(severity) for severity in Severity] == ["normal", "high", "critical", "critical"]


def test_a_case_goes_only_where_it_may_and_says_why_not() -> None:
    for before in CaseStatus:
        for after in CaseStatus:
            if after in MOVES[before]:
                check_move(case(status=before), after)
            else:
                with pytest.raises(CannotMove):
                    check_move(case(status=before), after)
    with pytest.raises(CannotMove, match="reopen it first"):
        check_move(case(status="closed"), CaseStatus.RESOLVED)
    with pytest.raises(CannotMove, match="Somebody else was quicker"):
        check_move(case(status="working"), CaseStatus.WORKING)


def test_what_came_later_makes_what_came_before_needless() -> None:
    late = case(warn_at=NOW, notice_at=NOW + HOUR)
    plan(late)
    assert late.follow_at == NOW
    assert [what_is_due(late, NOW + n * HOUR) for n in (-1, 0, 1)] == [None, Due.WARN, Due.NOTICE]
    asked = case(status="resolved")
    ask_until(asked, NOW, 2, 5)
    assert asked.follow_at == asked.remind_at == NOW + timedelta(days=2)
    assert what_is_due(asked, NOW + timedelta(days=6)) == Due.SILENT
    ask_until(asked, NOW, 0, 5)
    assert (asked.remind_at, asked.follow_at) == (None, NOW + timedelta(days=5))
    stop_clock(asked)
    assert (asked.follow_at, what_is_due(asked, NOW + timedelta(days=99))) == (None, None)


def test_a_case_is_overdue_while_somebody_should_work_on_it() -> None:
    late = NOW + timedelta(days=2)
    assert is_overdue(case(), late)
    assert not is_overdue(case(), NOW)
    assert not is_overdue(case(paused_at=NOW, status="waiting"), late)
    assert not is_overdue(case(status="resolved"), late)


@given(st.lists(st.integers(0, 60 * 24 * 20), max_size=50))
def test_every_age_is_counted_once(minutes: list[int]) -> None:
    found = Ageing.of([timedelta(minutes=each) for each in minutes]).counts
    assert sum(found) == len(minutes)
    assert found[0] == sum(each <= 1440 for each in minutes)


@given(st.integers(0, 31**6 - 1))
def test_a_reference_is_found_however_it_was_typed(number: int) -> None:
    reference = reference_of(number)
    assert as_reference(f" {reference.lower().replace('-', ' ')}") == reference
    assert as_reference(reference[:-1]) == ""


def complaint(number: int, *, reason: str = "outage", places: tuple[str, ...] = (), group: int = 0) -> Complaint:
    return Complaint(number, number, NOW + timedelta(minutes=number), reason, places, group or number)


def test_complaints_of_one_place_look_like_an_incident_before_those_of_one_reason() -> None:
    here = [complaint(n, places=("Oran",)) for n in range(1, 6)]
    there = [complaint(n, places=("Alger",)) for n in range(11, 14)]
    [found] = suspect([*here, *there], {"outage": 2.0}, least=4)
    assert (found.kind, found.place, found.case_ids, found.people_count) == ("place", "Oran", (1, 2, 3, 4, 5), 5)
    assert found.first_at == NOW + timedelta(minutes=1)


def test_one_reason_alone_is_an_incident_only_where_there_is_much_more_of_it_than_usual() -> None:
    many = [complaint(n) for n in range(1, 10)]
    assert [each.kind for each in suspect(many, {"outage": 3.0}, least=4)] == ["reason"]
    assert suspect(many, {"outage": 3.1}, least=4) == []


def test_nearly_the_same_words_are_an_incident_whatever_their_reason() -> None:
    copies = [complaint(n, reason=reason, group=7) for n, reason in enumerate(["", "billing", "billing", ""], 1)]
    assert [(each.kind, each.reason) for each in suspect(copies, {}, least=4)] == [("text", "")]


def test_one_person_who_complains_often_is_no_incident() -> None:
    same = [Complaint(n, 1, NOW, "outage", ("Oran",), 1) for n in range(10)]
    assert suspect(same, {}, least=2) == []


def test_a_case_is_in_one_suspicion_only() -> None:
    mixed = [complaint(n, places=("Oran", "Alger"), group=9) for n in range(1, 8)]
    found = suspect(mixed, {}, least=3)
    numbers = [number for each in found for number in each.case_ids]
    assert len(numbers) == len(set(numbers)) == 7


def test_a_newer_complaint_belongs_by_reason_and_place() -> None:
    incident = Incident(title="x", reason="outage", place="Oran", opened_at=NOW)
    assert belongs(incident, complaint(1, places=("Oran", "Alger")))
    assert not belongs(incident, complaint(1))
    assert not belongs(incident, complaint(1, reason="billing", places=("Oran",)))
    assert belongs(Incident(title="x", reason="outage", opened_at=NOW), complaint(1))
    assert not belongs(Incident(title="x", opened_at=NOW), complaint(1, reason=""))


def test_news_falls_back_to_the_language_that_is_most_likely_read() -> None:
    texts = {"fr": "Bonjour", "ar": "مرحبا"}
    assert text_for(texts, "arq-Arab") == "مرحبا"
    assert text_for(texts, "arq-Latn") == "Bonjour"
    assert text_for(texts, "en") == "Bonjour"
    assert text_for({"ar": "مرحبا"}, "en") == "مرحبا"
    assert text_for({}, "en") == ""
