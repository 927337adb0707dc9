"""References: no two cases have the same one, and a slip in reading one is noticed."""

import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialcrm.domain.case import ALPHABET, is_reference, reference_of

numbers = st.integers(0, 31**6 - 1)
places = st.sampled_from([0, 1, 2, 4, 5, 6, 8])


@given(numbers)
def test_a_reference_is_one_in_small_letters_and_without_its_dashes_too(number: int) -> None:
    reference = reference_of(number)
    assert len(reference) == 9
    assert is_reference(reference)
    assert is_reference(f"  {reference.lower().replace('-', ' ')} ")
    assert not set(reference) & set("0O1IZ")


@given(numbers, places, st.sampled_from(ALPHABET))
def test_one_wrong_sign_is_noticed(number: int, place: int, sign: str) -> None:
    reference = reference_of(number)
    wrong = reference[:place] + sign + reference[place + 1 :]
    assert is_reference(wrong) == (wrong == reference)


@given(numbers, places, places)
def test_two_signs_that_changed_places_are_noticed(number: int, one: int, other: int) -> None:
    reference = reference_of(number)
    signs = list(reference)
    signs[one], signs[other] = signs[other], signs[one]
    assert is_reference("".join(signs)) == ("".join(signs) == reference)


def test_every_wrong_sign_and_every_swap_of_some_references_is_noticed() -> None:
    for number in (0, 1, 31**6 - 1, 123_456_789):
        reference = reference_of(number)
        for place in (0, 1, 2, 4, 5, 6, 8):
            for sign in string.digits + string.ascii_uppercase:
                wrong = reference[:place] + sign + reference[place + 1 :]
                assert is_reference(wrong) == (wrong == reference)


def test_no_two_cases_have_the_same_reference_and_neighbours_look_different() -> None:
    references = [reference_of(number) for number in range(1, 20_000)]
    assert len(set(references)) == len(references)
    alike = sum(one[:3] == other[:3] for one, other in pairwise(references))
    assert alike < 100


@given(numbers, numbers)
def test_two_numbers_have_two_references(one: int, other: int) -> None:
    assert (reference_of(one) == reference_of(other)) == (one == other)


@pytest.mark.parametrize("text", ["", "7K3", "no reference", "222-222-2-2", "٢٢٢-٢٢٢-٢", "ÀÀÀ-ÀÀÀ-À", "000-000-0"])
def test_other_texts_are_no_references(text: str) -> None:
    assert not is_reference(text)
