"""What people talk about: what is read, what it is compared with, and what is counted."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from socialcrm.domain.rows import Message
from socialcrm.reports import topics
from socialcrm.reports.filters import Filters
from socialcrm.reports.period import Period
from socialcrm.reports.topics import Subject, Talk, before, has_others, sample, table, talk

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
WEEK = Filters(Period(date(2026, 3, 5), date(2026, 3, 11), ZoneInfo("Africa/Algiers")))
OUTAGE = [
    "Toujours pas de fibre optique à Oran depuis hier soir",
    "la fibre optique est coupée chez moi, rien ne marche",
    "Bonjour, plus de fibre optique ce matin, vous faites quoi ?",
    "c'est quand que la fibre optique revient ? merci",
    "Panne de fibre optique dans tout le quartier !",
    "j'ai appelé trois fois pour la fibre optique, personne",
]
BILLS = [
    "Ma facture de mars est fausse, vérifiez svp",
    "pourquoi la facture a doublé ce mois-ci ?",
    "Bonjour, je veux une copie de ma facture",
    "je n'ai pas reçu la facture par courriel",
]


def named(found: Talk, phrase: str) -> Subject:
    """The subject with this phrase."""
    (subject,) = [subject for subject in found.subjects if subject.phrase.lower() == phrase]
    return subject


async def test_the_period_is_compared_with_as_many_days_before_it(company) -> None:
    for text in OUTAGE:
        await company.message(NOON, text=text, sentiment="negative")
    for text in BILLS:
        await company.message(NOON, text=text, sentiment="neutral")
        await company.message(NOON - timedelta(days=7), text=f"{text} merci", sentiment="neutral")
    await company.message(NOON - timedelta(days=30), text=OUTAGE[0])
    await company.message(NOON, text="la fibre optique", direction="out", author="agent")
    found = talk(await sample(company.session, WEEK))
    assert (found.group_count, found.baseline_group_count, found.is_cut) == (10, 4, False)
    outage, bills = named(found, "fibre optique"), named(found, "facture")
    assert (outage.trend, outage.count, outage.baseline_count, outage.change) == ("new", 6, 0, None)
    assert outage.moods == {"negative": 6}
    assert (bills.count, bills.baseline_count) == (4, 4)
    assert bills.change == pytest.approx((4 / 10) / (4 / 4) - 1)
    assert before(WEEK.period) == Period(date(2026, 2, 26), date(2026, 3, 4), WEEK.period.zone)


async def test_a_segment_is_compared_with_everybody_else_in_the_same_period(company) -> None:
    for text in OUTAGE:
        await company.message(NOON, text=text, channel="chat", team="support", sentiment="negative", language="fr")
    for text in BILLS:
        await company.message(NOON, text=text, channel="mail", sentiment="neutral", language="ar")
    for filters in (
        replace(WEEK, channel_id=company.ids["chat"]),
        replace(WEEK, team_id=company.ids["support"]),
        replace(WEEK, language="fr"),
        replace(WEEK, channel_id=company.ids["chat"], team_id=company.ids["support"], language="fr"),
    ):
        assert has_others(filters)
        found = await sample(company.session, filters, "others")
        assert [said.text for said in found.messages] == OUTAGE[::-1]
        assert [said.text for said in found.baseline] == BILLS[::-1]
    others = await sample(company.session, replace(WEEK, team_id=0), "others")
    assert [said.text for said in others.baseline] == OUTAGE[::-1]
    assert not has_others(WEEK)
    assert (await sample(company.session, WEEK, "others")).baseline == ()


async def test_a_chain_counts_once_and_says_how_often_it_came(company) -> None:
    chain = "Attention la société va couper la fibre optique de tous ceux qui ne partagent pas ce message à dix amis"
    for text in (*OUTAGE, chain, f"{chain} !", f"🙏 {chain}"):
        await company.message(NOON, text=text)
    found = talk(await sample(company.session, WEEK))
    subject = named(found, "fibre optique")
    assert subject.count == len(OUTAGE) + 1
    assert subject.moods == {"pending": len(OUTAGE) + 1}
    assert {copies for said, copies in subject.examples if "dix amis" in said.text} <= {3}


async def test_short_words_of_two_people_are_said_twice(company) -> None:
    for _ in range(3):
        await company.message(NOON, text="connexion mayta")
    assert named(talk(await sample(company.session, WEEK)), "connexion mayta").count == 3


async def test_deleted_messages_are_not_read_and_only_the_newest_of_many(company, monkeypatch) -> None:
    monkeypatch.setattr(topics, "MOST", 4)
    numbers = [await company.message(NOON + timedelta(minutes=n), text=text) for n, text in enumerate(OUTAGE)]
    (await company.session.get_one(Message, numbers[-1])).deleted_at = NOON
    await company.session.flush()
    found = await sample(company.session, WEEK)
    assert [said.id for said in found.messages] == numbers[-2:0:-1]
    assert found.is_cut
    assert talk(found).is_cut


async def test_the_file_has_a_row_a_subject_and_nothing_has_none(company) -> None:
    assert table(talk(await sample(company.session, WEEK))).rows == []
    for text in OUTAGE:
        await company.message(NOON, text=text, sentiment="negative")
    rows = table(talk(await sample(company.session, WEEK))).rows
    assert rows[0]["phrase"].lower() == "fibre optique"
    assert (rows[0]["count"], rows[0]["negative_share"], rows[0]["positive_share"]) == (6, 1.0, 0.0)
    assert rows[0]["example"] in OUTAGE
