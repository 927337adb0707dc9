"""Flows that cannot work are refused with the step and the reason."""

import pytest

from socialcrm.domain.flow import Flow, FlowError, read_flow
from socialcrm.domain.flow_check import check_flow
from tests.domain.bots import ENGAGEMENT, SHIPPED, flow, say

ENTRIES = {one.id for one in ENGAGEMENT.questions}
ASK = '[[steps]]\nid = "{id}"\ndo = "ask"\nkind = "{kind}"\nkeep = "{id}"\ntext = {{ en = "Which?" }}\n'
STEP = 'name = "x"\n[[steps]]\n'
OTHER = read_flow('name = "other"\nlanguages = ["en"]\n[[steps]]\nid = "back"\ndo = "goto"\nflow = "test"\n')


def wrong(body: str) -> list[str]:
    return [str(error) for error in check_flow(flow(body), ENTRIES, {**SHIPPED, "other": OTHER})]


def test_the_shipped_flows_are_good() -> None:
    assert set(SHIPPED) == {"welcome", "callback", "complaint"}
    for one in SHIPPED.values():
        assert check_flow(one, ENTRIES, SHIPPED) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (say("a", goto="nowhere"), "Step “a” leads to “nowhere”, which does not exist."),
        (say("a") + say("a"), "Two steps are called “a”."),
        (say("end"), "No step can be called “end”: that is where a flow is over."),
        (say("a", goto="c") + say("b") + say("c"), "Nothing leads to the step “b”."),
        (
            say("a") + say("b", goto="a"),
            "These steps go round for ever without asking anything: a → b → a.",
        ),
        (
            '[[steps]]\nid = "a"\ndo = "goto"\nflow = "other"\n',
            "These steps go round for ever without asking anything: a → other/back → a.",
        ),
        (
            '[[steps]]\nid = "a"\ndo = "goto"\nflow = "gone"\n',
            "Step “a” leads to the flow “gone”, which does not exist.",
        ),
        ('[[steps]]\nid = "a"\ndo = "goto"\n', "Step “a” leads nowhere: give it a goto or a flow."),
        (
            '[[steps]]\nid = "a"\ndo = "faq"\nentry = "x"\n',
            "Step “a” answers with “x”, which the FAQ does not have.",
        ),
        (say("a", "Your {number}"), "Step “a” uses {number}, which nothing asks for."),
        (say("a", "It is {reference}"), "Step “a” uses {reference}, but no case was opened on every way to it."),
        (say("a", "A {brace"), "Step “a”, text.en: the braces cannot be read (expected '}' before end of string)."),
        (say("a", "A {x!r}"), "Step “a”, text.en: the braces cannot be read ({x} is no name)."),
        (
            '[[steps]]\nid = "a"\ndo = "say"\ntext = { fr = "Bonjour" }\n',
            "Step “a”, text: the text in en is missing.",
        ),
        (
            '[[steps]]\nid = "a"\ndo = "say"\ntext = { en = "Hello", xx = "?" }\n',
            "Step “a”, text: there is no language “xx”.",
        ),
        (ASK.format(id="a", kind="choice"), "Step “a” asks for a choice: it needs 2 to 10 choices and has 0."),
        (
            '[[steps]]\nid = "a"\ndo = "callback"\n',
            "Step “a” uses {phone}, which nothing asks for.",
        ),
        (
            '[[steps]]\nid = "a"\ndo = "if"\nvariable = "mood"\nthen = "end"\n',
            "Step “a” uses {mood}, which nothing asks for.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_the_step(body: str, said: str) -> None:
    assert said in wrong(body)


def test_a_variable_has_to_be_asked_on_every_way_to_where_it_is_used() -> None:
    either = (
        '[[steps]]\nid = "way"\ndo = "if"\nvariable = "is_open"\nvalues = ["yes"]\nthen = "phone"\notherwise = "told"\n'
        + ASK.format(id="phone", kind="phone")
        + say("told", "We call {phone}")
    )
    assert wrong(either) == ["Step “told” uses {phone}, which is not asked on every way to it."]
    given_up = ASK.format(id="phone", kind="phone") + 'otherwise = "told"\n' + say("told", "We call {phone}")
    assert wrong(given_up) == ["Step “told” uses {phone}, which is not asked on every way to it."]
    assert wrong(ASK.format(id="phone", kind="phone") + say("told", "We call {phone}")) == []
    tested = (
        ASK.format(id="phone", kind="phone")
        + 'otherwise = "way"\n'
        + '[[steps]]\nid = "way"\ndo = "if"\nvariable = "phone"\nthen = "told"\notherwise = "end"\n'
        + say("told", "We call {phone}")
    )
    assert wrong(tested) == [], "where it was tested it is there"


def test_a_way_round_that_asks_something_is_allowed() -> None:
    assert wrong(ASK.format(id="a", kind="text") + say("b", "You said {a}", goto="a")) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("name = ", "This is not valid TOML"),
        ('name = "x"\nsteps = []', "steps: tuple should have at least 1 item"),
        ('name = "Big Name"\n[[steps]]\nid = "a"\ndo = "handover"\n', "name: string should match pattern"),
        (
            'name = "x"\n[[steps]]\nid = "a"\ndo = "sing"\n',
            "Step “a”, do: input tag 'sing' found using 'do' does not match",
        ),
        ('name = "x"\n[[steps]]\nid = "a"\ndo = "say"\n', "Step “a”, text: field required"),
        (
            'name = "x"\n[[steps]]\nid = "a"\ndo = "ask"\nkind = "age"\ntext = {}\n',
            "Step “a”, kind: input should be 'text'",
        ),
        ('name = "x"\n[[steps]]\ndo = "handover"\n', "Step “#1”, id: field required"),
        (
            'name = "x"\n[[steps]]\nid = "a"\ndo = "handover"\nwhen = 1\n',
            "Step “a”, when: extra inputs are not permitted",
        ),
    ],
)
def test_what_cannot_be_read_names_step_and_field(source: str, said: str) -> None:
    with pytest.raises(FlowError) as raised:
        read_flow(source)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value).strip()


def test_every_way_out_of_a_step_is_known() -> None:
    welcome: Flow = SHIPPED["welcome"]
    assert welcome.next_of(welcome.step("menu")) == "hours"
    assert welcome.next_of(welcome.step("hours")) == "end"
