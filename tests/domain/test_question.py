"""Which answer a text is: by number, by words, in every language, and never by accident."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.question import NO, YES, Answer, Choice, Question, numbered, read_answer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CSAT = [Choice(str(n), f"{n} · {label}") for n, label in enumerate(("Mauvais", "Moyen", "Bien", "Très bien", "Top"), 1)]
NPS = [Choice(str(n), str(n)) for n in range(11)]
SOLVED = [Choice("yes", "Oui, c'est résolu", YES), Choice("no", "Non, pas encore", NO)]
MENU = [Choice("bill", "Ma facture"), Choice("net", "الانترنت"), Choice("other", "Autre chose", ("hadja khra",))]


def question(choices: list[Choice], *, takes_text: bool = False, is_multiple: bool = False) -> Question:
    return Question(
        key="k",
        token="t",
        kind="test",
        subject_id=1,
        conversation_id=1,
        channel_id=1,
        contact_id=1,
        choices=[choice.row() for choice in choices],
        takes_text=takes_text,
        is_multiple=is_multiple,
        asked_at=NOW,
        expires_at=NOW,
    )


@pytest.mark.parametrize(
    "text",
    [
        "4",
        " 4 ",
        "4/5",
        "4 / 5",
        "٤",
        "۴",
        "note 4",
        "4 svp",
        "Je mets 4",
        "4 sur 5",
        "4 out of 5",
        "٤ من ٥",
        "4 من 5",
        "4.",
        "n°4",
        "4️⃣",
        "quatre",
        "FOUR",
        "أربعة",
        "rab3a",
        "⭐⭐⭐⭐",
        "4 étoiles",
        "Très bien",
        "tres bien !",
        "4 · Très bien",
        "4 merci",
        "my rating is 4",
        "نعطيكم 4",
        "4 men 5",
    ],
)
def test_a_score_is_read_however_it_is_written(text: str) -> None:
    assert read_answer(text, question(CSAT)) == Answer("4", "choice")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "0",
        "6",
        "-1",
        "4.5",
        "4,5",
        "3 4",
        "45",
        "4 jours sans internet",
        "j'attends depuis 4 jours",
        "4/10",
        "0555 12 34 56",
        "bonjour",
        "4G ne marche pas",
        "le 4 avril",
        "⭐⭐⭐⭐⭐⭐",
        "4" * 300,
        "4e fois que j'appelle",
    ],
)
def test_what_only_holds_a_number_is_no_score(text: str) -> None:
    assert read_answer(text, question(CSAT)) is None


@pytest.mark.parametrize(("text", "value"), [("0", "0"), ("10", "10"), ("10/10", "10"), ("٩", "9"), ("zero", "0")])
def test_a_scale_that_starts_at_nought(text: str, value: str) -> None:
    assert read_answer(text, question(NPS)) == Answer(value, "choice")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("oui", "yes"),
        ("Oui merci", "yes"),
        ("نعم", "yes"),
        ("ايه", "yes"),
        ("إيه", "yes"),
        ("ih", "yes"),
        ("YES!", "yes"),
        ("1", "yes"),
        ("١", "yes"),
        ("non", "no"),
        ("لا", "no"),
        ("la", "no"),
        ("la sa7it", "no"),
        ("no", "no"),
        ("2", "no"),
        ("c'est résolu oui", None),
        ("oui mais ça recommence", None),
        ("lala", "no"),
        ("pas du tout", "no"),
        ("ما", None),
    ],
)
def test_yes_and_no_in_our_languages(text: str, value: str | None) -> None:
    found = read_answer(text, question(SOLVED))
    assert (found.value if found else None) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("ma FACTURE", "bill"), ("2", "net"), ("انترنت", None), ("الأنترنت", "net"), ("Hadja khra", "other")],
)
def test_a_choice_is_named_by_its_place_its_label_or_an_alias(text: str, value: str | None) -> None:
    found = read_answer(text, question(MENU))
    assert (found.value if found else None) == value


@pytest.mark.parametrize(
    "text",
    [
        "2, personne ne m'a rappelé",
        "2\n\npersonne ne m'a rappelé",
        "2 : personne ne m'a rappelé",
        "٢، personne ne m'a rappelé",
    ],
)
def test_words_after_a_score_are_kept_beside_it(text: str) -> None:
    assert read_answer(text, question(CSAT)) == Answer("2", "choice", "personne ne m'a rappelé")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1, 3", "bill,other"),
        ("1 et 3", "bill,other"),
        ("3و1", None),
        ("3 و 1", "other,bill"),
        ("2", "net"),
        ("1 9", None),
    ],
)
def test_several_choices_by_their_numbers(text: str, value: str | None) -> None:
    found = read_answer(text, question(MENU, is_multiple=True))
    assert (found.value if found else None) == value


def test_any_text_answers_an_open_question_only_while_it_is_the_newest() -> None:
    opened = question([Choice("", "Passer")], takes_text=True)
    assert read_answer("un peu lent", opened) == Answer("un peu lent", "text")
    assert read_answer("un peu lent", opened, is_newest=False) is None


def test_a_list_shows_the_numbers_that_answer_it() -> None:
    assert numbered(MENU).splitlines() == ["1. Ma facture", "2. الانترنت", "3. Autre chose"]
    assert numbered(CSAT).splitlines()[0] == "1 · Mauvais"


@given(st.text())
def test_no_text_breaks_it_and_what_it_answers_is_a_choice(text: str) -> None:
    found = read_answer(text, question(CSAT))
    assert found is None or found.value in {choice.value for choice in CSAT}
