"""Signs of spam and abuse, named and weighed."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.rows import Row
from nlp.spam import LIKELY, WEIGHTS, Name, signals, total

SPAM: list[tuple[str, set[Name]]] = [
    ("Gagnez de l'argent depuis chez vous https://bit.ly/3xYz", {"earnings", "short_link"}),
    ("Prêt entre particuliers, contactez Mme Anne : anne.pret@gmail.com", {"loan", "contact"}),
    ("Crédit rapide, appelez le 0550 12 34 56", {"loan", "contact"}),
    ("partagez ce message à dix amis ou il vous arrivera malheur", {"chain"}),
    ("انشرها وأرسل هذه الرسالة إلى عشرة", {"chain"}),
    ("شيخ روحاني جلب الحبيب", {"charm"}),
    ("SUIVEZ NOUS POUR DES PRIX JAMAIS VUS!!!!!!!! www.shop.example", {"advert", "link", "capitals", "runs"}),
    ("tawsil batel 58 wilaya, inbox 0661998877", {"advert", "contact"}),
    ("bitcoin trading http://a.example http://b.example http://c.example", {"earnings", "link", "links"}),
]
HONEST = [
    "slm la connexion ta3kom mayta men lbareh",
    "Le voyant du modem clignote rouge, appelez-moi au 0550123456",
    "Quel est le prix de la livraison à Oran ?",
    "voici la capture https://imgur.example/a1b2c3",
    "FACTURE N° 12 TOUJOURS PAS REÇUE, C'EST LONG",
    "واش كاين توصيل لوهران؟",
    "3 heures d'attente!!!!!!!! c'est une honte",
    "",
]


@pytest.mark.parametrize(("text", "names"), SPAM)
def test_spam_is_likely_and_each_sign_of_it_has_a_name(text: str, names: set[Name]) -> None:
    found = signals(text)
    assert {signal.name for signal in found} == names
    assert total(found, "spam") >= LIKELY
    assert total(found, "abuse") == 0
    assert all(signal.found for signal in found)


@pytest.mark.parametrize("text", HONEST)
def test_what_customers_write_is_not_taken_for_spam(text: str) -> None:
    assert total(signals(text), "spam") < LIKELY


@pytest.mark.parametrize("text", ["bande d'escrocs", "يا كلاب", "ya serra9in", "you are thieves", "C'EST DES VOLEURS"])
def test_insults_are_a_sign_of_abuse_in_every_language_and_script(text: str) -> None:
    found = signals(text)
    assert total(found, "abuse") >= LIKELY
    assert total(found, "spam") < LIKELY


def test_many_copies_of_a_message_speak_for_spam() -> None:
    assert [signal.name for signal in signals("bonjour à tous les amis", copies=9)] == ["copies"]
    assert signals("bonjour à tous les amis", copies=2) == ()


def test_the_heaviest_sign_comes_first_and_the_total_is_at_most_one() -> None:
    found = signals("bitcoin, crédit rapide, marabout, partagez ce message, cliquez ici https://bit.ly/x 0550123456")
    weights = [signal.weight for signal in found]
    assert weights == sorted(weights, reverse=True)
    assert total(found, "spam") == 1.0
    assert all(signal.weight == WEIGHTS[signal.name] for signal in found)


def test_our_labelled_messages_that_are_no_spam_are_not_called_so(labelled: list[Row]) -> None:
    honest = [row.text for row in labelled if row.task == "intent" and row.label != "spam"]
    called = [text for text in honest if total(signals(text), "spam") >= LIKELY]
    assert len(called) <= len(honest) * 0.01


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_judged(text: str) -> None:
    assert 0 <= total(signals(text), "spam") <= 1


@pytest.mark.parametrize("piece", ["a.", "http://", "www.", "@a ", "A", "a.bc/", "-", "bit.ly/", "0550123456 "])
def test_a_hundred_thousand_characters_take_bounded_time(piece: str) -> None:
    started = time.process_time()
    signals(piece * (100_000 // len(piece)))
    assert time.process_time() - started < 1
