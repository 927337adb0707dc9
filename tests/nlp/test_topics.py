"""What people talk about, and what is new or rising in it."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.terms import is_stop, stems, tokens
from nlp.topics import SURE, Topic, Topics, log_odds, topics

OUTAGE = [
    "Toujours pas de fibre optique à Oran depuis hier soir",
    "la fibre optique est coupée chez moi, rien ne marche",
    "Bonjour, plus de fibre optique ce matin, vous faites quoi ?",
    "c'est quand que la fibre optique revient ? merci",
    "Panne de fibre optique dans tout le quartier !",
    "j'ai appelé trois fois pour la fibre optique, personne",
    "ma fibre optique ne marche plus, je travaille comment moi",
    "Fibre optique en panne à Bir El Djir, encore une fois",
]
BILLS = [
    "Ma facture de mars est fausse, vérifiez svp",
    "pourquoi la facture a doublé ce mois-ci ?",
    "Bonjour, je veux une copie de ma facture",
    "je n'ai pas reçu la facture par courriel",
    "comment payer la facture en ligne ?",
]
OTHERS = ["Merci pour votre aide", "Bonne journée à toute l'équipe", "Quel est le prix de la box ?", "ok", "super 👍"]


def named(found: Topics, phrase: str) -> Topic:
    """The topic with this name."""
    (topic,) = [topic for topic in found.found if topic.phrase.lower() == phrase]
    return topic


def test_what_the_baseline_never_says_is_new_and_what_it_says_less_is_rising() -> None:
    rare = ["une question sur la fibre optique"]
    assert named(topics(OUTAGE + BILLS, BILLS * 2 + OTHERS), "fibre optique").trend == "new"
    rising = named(topics(OUTAGE + BILLS, BILLS + OTHERS * 3 + rare), "fibre optique")
    assert (rising.trend, rising.count, rising.baseline_count) == ("rising", 8, 1)
    assert named(topics(OUTAGE + BILLS, BILLS + OUTAGE), "facture").trend == "steady"


def test_what_is_said_less_than_before_is_falling() -> None:
    texts = OUTAGE + OTHERS + BILLS
    assert named(topics(texts, BILLS, groups=range(len(texts) + len(BILLS))), "facture").trend == "falling"


def test_without_a_baseline_every_topic_is_steady() -> None:
    found = topics(OUTAGE)
    assert found.baseline_group_count == 0
    assert {topic.trend for topic in found.found} == {"steady"}


def test_phrases_inside_a_longer_one_are_folded_into_it() -> None:
    phrases = {topic.phrase.lower() for topic in topics(OUTAGE).found}
    assert "fibre optique" in phrases
    assert not {"fibre", "optique"} & phrases


def test_a_chain_message_counts_once_however_often_it_was_sent() -> None:
    chain = "Attention la société va couper la fibre optique de tous ceux qui ne partagent pas ce message à dix amis"
    found = topics([*OUTAGE, *(f"{chain} {end}" for end in ("!", "svp", "😡", "http://x.example/1", "merci"))])
    assert named(found, "fibre optique").count == len(OUTAGE) + 1
    assert found.group_count == len(OUTAGE) + 1
    assert len(set(found.groups[len(OUTAGE) :])) == 1


def test_members_say_the_phrase_and_examples_are_typical_ones_of_different_groups() -> None:
    longest = "La fibre optique " + "et beaucoup d'autres choses dont je voudrais vous parler longuement " * 6
    texts = [longest, *OUTAGE, OUTAGE[0]]
    topic = named(topics(texts), "fibre optique")
    assert len(topic.members) == topic.count == len(OUTAGE) + 1
    assert all("optique" in texts[place].lower() for place in topic.members)
    assert len(topic.examples) == len({texts[place] for place in topic.examples}) == 3
    assert set(topic.examples) <= set(topic.members)
    assert 0 not in topic.examples


def test_phrases_do_not_reach_over_the_end_of_a_clause_and_stop_words_are_none() -> None:
    texts = [f"{word} la box. Internet est lent" for word in ("alpha", "bravo", "charlie", "delta")]
    phrases = {topic.phrase.lower() for topic in topics(texts).found}
    assert not [phrase for phrase in phrases if "box" in phrase and "internet" in phrase]
    assert not {"la", "est"} & phrases


def test_spellings_of_one_word_are_one_in_arabic_and_in_darija() -> None:
    arabic = [
        "الفيبر راهي مقطوعة في وهران",
        "فيبر ثقيل بزاف عندي",
        "راني بلا خدمة بالفيبر تاعكم",
        "والفيبر وقتاش يرجع عندنا",
    ]
    latin = ["lconnexion mayta men lbareh", "connexion t9ila bezaf lyoum", "ki tarja3 connexion golouli"]
    latin += ["connexion ta3kom tahbess kol sa3a"]
    found = topics(arabic + latin)
    assert named(found, "الفيبر").count == 4
    assert named(found, "connexion").count == 4


def test_topics_of_a_segment_are_what_the_others_do_not_say() -> None:
    found = topics(BILLS, OUTAGE)
    assert found.found[0].phrase.lower() == "facture"
    assert found.found[0].trend == "new"


def test_few_texts_or_none_have_no_topics() -> None:
    assert topics([]).found == ()
    assert topics(["bonjour", "la facture"], OUTAGE).found == ()
    assert topics([], OUTAGE) == Topics((), tuple(range(8)), 0, 8)


def test_groups_that_are_known_are_used_and_must_be_one_a_text() -> None:
    assert topics(OUTAGE, groups=[0] * 7 + [1]).group_count == 2
    with pytest.raises(ValueError, match="8 texts have 1 group numbers"):
        topics(OUTAGE, groups=[0])


def test_no_more_topics_than_the_limit_and_the_rising_ones_first() -> None:
    words = [f"{one}{two}{three}o" for one, two, three in itertools.product("bdfglm", "ae", "kprst")]
    texts = [f"{a} {b}" for a, b in itertools.pairwise(words * 4)]
    found = topics(texts, OUTAGE, groups=range(len(texts) + len(OUTAGE)), limit=6).found
    assert len(found) == 6
    assert [topic.z >= SURE for topic in found] == sorted([topic.z >= SURE for topic in found], reverse=True)


def test_scores_are_surer_the_more_is_said_and_nought_for_what_is_said_alike() -> None:
    counts, before = np.array([5, 50, 10, 0]), np.array([1, 10, 10, 10])
    z = log_odds(counts, before, 1000, 1000)
    assert 0 < z[0] < z[1]
    assert abs(z[2]) < 1e-9
    assert z[3] < 0
    assert np.isfinite(log_odds(np.array([7]), np.array([7]), 7, 7)).all()


def test_clitics_go_only_where_what_remains_is_a_word_that_people_say() -> None:
    counts = {"فيبر": 9, "بالفيبر": 1, "وفيبر": 1, "بنك": 5, "نك": 9, "كتاب": 4, "الباقه": 3, "باقه": 1, "للباقه": 1}
    counts |= {"connexion": 9, "lconnexion": 2, "lent": 4, "facture": 2, "factures": 5, "acces": 3, "مكه": 2}
    found = stems(counts)
    assert {word: stem for word, stem in found.items() if stem != word} == {
        "بالفيبر": "فيبر",
        "وفيبر": "فيبر",
        "الباقه": "باقه",
        "للباقه": "باقه",
        "lconnexion": "connexion",
        "factures": "facture",
    }


@pytest.mark.parametrize("word", ["the", "est", "des", "في", "ولكن", "راهي", "ta3kom", "bezaf", "svp", "merci", "l"])
def test_words_that_tell_nothing_are_known_in_every_language(word: str) -> None:
    assert all(is_stop(token) for token in tokens(word))


@pytest.mark.parametrize(
    "word", ["facture", "connexion", "internet", "livraison", "الفاتورة", "الفيبر", "fibre", "sim"]
)
def test_words_that_are_subjects_are_no_stop_words(word: str) -> None:
    assert not any(is_stop(token) for token in tokens(word))


@given(st.lists(st.text(alphabet="abc دفيبر !?.,\n", max_size=40), max_size=25), st.integers(0, 25))
@settings(max_examples=100, deadline=None)
def test_any_texts_have_topics_that_their_members_say(texts: list[str], cut: int) -> None:
    found = topics(texts[:cut], texts[cut:], least=2)
    for topic in found.found:
        assert topic.count == len(topic.members) >= 2
        assert topic.phrase
        assert set(topic.examples) <= set(topic.members)
        assert max(topic.members) < cut


def test_cost_grows_with_the_number_of_messages_and_not_with_its_square() -> None:
    words = [f"{a}{b}{c}{d}e" for a, b, c, d in itertools.product("bdfglm", "aeiou", "kprst", "ao")]
    texts = [" ".join(words[(n * k + k * k) % len(words)] for k in range(1, 12)) for n in range(16_000)]

    def seconds(count: int) -> float:
        started = time.process_time()
        topics(texts[: count // 2], texts[count // 2 : count])
        return time.process_time() - started

    seconds(500)
    assert seconds(16_000) < 64 * max(seconds(1_000), 0.02)  # the square of 16 is 256
