"""How right the FAQ's answers are, by the least score that is asked for."""

from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from socialcrm.domain.faq import Asked, Curve, measure
from socialcrm.faq_figures import show

ASKED = [
    Asked("fr", "a", "a", 0.9),
    Asked("fr", "a", "a", 0.7),
    Asked("en", "b", "a", 0.6),
    Asked("en", "b", "b", 0.5),
    Asked("en", None, "a", 0.4),
]


def test_precision_and_recall_are_counted_at_each_score() -> None:
    curve = measure(ASKED)
    assert (curve.asked, curve.others) == (4, 1)
    assert [(curve.at(s).given, curve.at(s).right) for s in (0.4, 0.5, 0.6, 0.7, 0.9, 0.91)] == [
        (5, 3), (4, 3), (3, 2), (2, 2), (1, 1), (0, 0),
    ]  # fmt: skip
    assert curve.recall(curve.at(0.5)) == 0.75
    assert curve.at(1.0).precision is None
    assert curve.by_language["en"].asked == 2


def test_the_threshold_is_the_lowest_score_from_which_on_the_bar_is_held() -> None:
    curve = measure(ASKED)
    assert (found := curve.threshold(0.7)) is not None
    assert found.score == 0.61, "0.5 reaches it too, but 0.6 above it does not"
    assert curve.threshold(0.5) == curve.at(0.3)
    assert measure([Asked("fr", "a", "b", 0.9)]).threshold(0.5) is None


def test_figures_come_back_from_their_row_as_they_were() -> None:
    assert Curve.of_json(measure(ASKED).as_json()) == measure(ASKED)


@given(
    st.lists(
        st.builds(
            Asked,
            st.sampled_from(["fr", "ar"]),
            st.sampled_from(["a", "b", None]),
            st.sampled_from(["a", "b"]),
            st.floats(0, 1),
        ),
        max_size=40,
    ),
    st.floats(0.5, 1),
)
def test_at_the_threshold_and_above_it_the_bar_is_held(asked: list[Asked], bar: float) -> None:
    curve = measure(asked)
    found = curve.threshold(bar)
    above = [point.precision for point in curve.points if found and point.score >= found.score]
    assert all(share is None or share >= bar for share in above)


def test_the_figures_are_printed_with_the_score_that_holds_the_bar() -> None:
    console = Console(record=True, width=120, file=StringIO())
    show(console, measure(ASKED), 0.7)
    text = console.export_text()
    assert "From 0.61 on answers are right 100.0% of the time (bar: 70%)." in text
    assert "en: 0 of 0 right, 0% answered" in text
    show(console, measure([Asked("fr", "a", "b", 0.9)]), 0.7)
    assert "No score holds 70%" in console.export_text()
