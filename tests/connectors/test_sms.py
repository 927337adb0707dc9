"""SMS: parts, STOP words and numbers, as every gateway has them."""

import pytest

from connectors import sms
from connectors.base import Refused
from connectors.sms import Parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, Parts(1, 160, False)),
        ("a" * 161, Parts(2, 161, False)),
        ("a" * 306, Parts(2, 306, False)),
        ("a" * 307, Parts(3, 307, False)),
        ("éàùèòìÇ@£$_Δ\n" * 12, Parts(1, 156, False)),
        ("€" * 80, Parts(1, 160, False)),
        ("€" * 81, Parts(2, 162, False)),
        # 152 places and a sign of two: it begins the second part whole.
        ("a" * 152 + "€" + "a" * 152, Parts(3, 306, False)),
        ("ç", Parts(1, 1, True)),
        ("م" * 70, Parts(1, 70, True)),
        ("م" * 71, Parts(2, 71, True)),
        ("م" * 134, Parts(2, 134, True)),
        ("م" * 135, Parts(3, 135, True)),
        ("😀" * 35, Parts(1, 70, True)),
        ("😀" * 36, Parts(2, 72, True)),
        # 66 units and an emoji of two.
        ("م" * 66 + "😀" + "م" * 66, Parts(3, 134, True)),
    ],
)
def test_parts_are_counted_as_the_network_cuts_them(text: str, expected: Parts) -> None:
    assert sms.parts(text) == expected


def test_what_takes_more_than_ten_parts_is_refused_with_the_count() -> None:
    assert sms.check("a" * 1530).count == 10
    with pytest.raises(Refused, match="11 SMS in the GSM alphabet"):
        sms.check("a" * 1531)
    with pytest.raises(Refused, match="11 SMS in Unicode"):
        sms.check("م" * 671)
    with pytest.raises(Refused, match="needs a text"):
        sms.check(" \n")


@pytest.mark.parametrize(
    "word", ["STOP", "stop.", " Arrêt !", "ARRET", "توقف", "توقّف", "قِف", "أوقف", "إيقاف", "الغاء", "STOP SMS"]
)
def test_a_word_like_stop_is_known_in_three_languages(word: str) -> None:
    assert sms.consent(word) is False


@pytest.mark.parametrize("word", ["START", "Start!", "reprendre", "ابدأ", "استئناف"])
def test_a_word_like_start_takes_it_back(word: str) -> None:
    assert sms.consent(word) is True


@pytest.mark.parametrize(
    "text", ["", "Le décodeur stop tout seul", "stop svp je veux parler à quelqu'un", "لا تتوقف", "😀", "starter"]
)
def test_a_sentence_is_no_stop_word(text: str) -> None:
    assert sms.consent(text) is None


@pytest.mark.parametrize(
    ("written", "region", "expected"),
    [
        ("0550 00 00 01", "DZ", "+213550000001"),
        ("213550000001", "", "+213550000001"),
        ("00213550000001", "DZ", "+213550000001"),
        ("+213 550-00-00-01", "", "+213550000001"),
        ("0550000001", "", "0550000001"),
        ("7711", "DZ", "7711"),
        ("Mobilis", "DZ", "Mobilis"),
    ],
)
def test_a_number_is_written_one_way(written: str, region: str, expected: str) -> None:
    assert sms.number(written, region) == expected


def test_a_sender_without_a_number_cannot_be_answered() -> None:
    assert sms.recipient("7711") == "7711"
    with pytest.raises(Refused, match="no number"):
        sms.recipient("Mobilis")
