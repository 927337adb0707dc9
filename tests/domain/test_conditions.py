"""Conditions and rules: read with exact mistakes, decided, explained, and refused when they make no sense."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socialcrm.domain import conditions, patterns
from socialcrm.domain.conditions import ConditionError, Group, Leaf, Node
from socialcrm.domain.facts import Facts
from socialcrm.domain.fields import FIELDS, OPERATORS
from socialcrm.domain.rule_file import read_file, write_file
from socialcrm.domain.rulebook import RuleError, World, check_loops, check_names, read, warnings, write

FACTS = Facts(
    text="Ma facture de mars est fausse, 7alwa",
    language="fr",
    sentiment="negative",
    is_complaint=True,
    intent="complaint",
    reason="billing",
    connector="telegram",
    channel_key="k7",
    kind="comment",
    local_time=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    labels=("facture",),
    waiting_minutes=12,
    status="open",
)


NESTED: dict[str, Any] = {"all": []}
for _ in range(8):
    NESTED = {"all": [NESTED]}


def leaf(field: str, value: Any, op: str = "") -> dict[str, Any]:
    return {"field": field, "value": value, **({"op": op} if op else {})}


def why(when: dict[str, Any], facts: Facts = FACTS) -> str:
    """Why conditions fail; empty when they hold."""
    test = conditions.compiled(conditions.read(when))
    return "" if test.holds(facts) else test.failed(facts)


@pytest.mark.parametrize(
    ("when", "because"),
    [
        ({"all": []}, ""),
        (leaf("reason", ["billing"]), ""),
        (leaf("labels", ["facture", "other"]), ""),
        (leaf("labels", ["facture", "other"], "all_of"), "the labels are facture, not facture and other"),
        (leaf("waiting_minutes", 30, "at_least"), "minutes waited: 12, less than 30"),
        (leaf("pattern", r"factur\w+ de \w+"), ""),
        (leaf("pattern", r"\d{6}"), "the text does not fit the pattern"),
        (leaf("media", ["image"]), "it carries no file, not image"),
        (leaf("weekday", ["sunday"]), ""),
        (leaf("hours", "08:00-09:00"), "it is 09:30, outside 08:00-09:00"),
        (leaf("survey_score", 2, "at_most"), "the score given is unknown, more than 2"),
        (leaf("open", True), "we are closed"),
        (leaf("assigned", True), "nobody has it"),
        ({"not": leaf("sentiment", ["negative"])}, "sentiment is negative, which it must not"),
        ({"not": leaf("words", ["ma facture"])}, "the message says 'ma facture', which it must not"),
        (
            {"any": [leaf("language", ["ar"]), leaf("kind", ["mention"])]},
            "language is fr, not ar; it is a comment, not a mention",
        ),
        ({"all": [{"any": [leaf("language", ["ar"]), leaf("complaint", True)]}, {"not": leaf("bot", True)}]}, ""),
        (
            {"not": {"all": [leaf("complaint", True), leaf("language", ["fr"])]}},
            "it is a complaint and language is fr, which it must not",
        ),
    ],
)
def test_a_condition_holds_or_says_what_it_found_instead(when: dict[str, Any], because: str) -> None:
    assert why(when) == because


def test_a_condition_on_a_message_fails_where_there_is_none_whatever_it_asks() -> None:
    nobody = Facts(has_message=False)
    assert why(leaf("sentiment", ["negative"], "not_in"), nobody) == "there is no message to look at"
    assert why(leaf("words", ["x"], "none_of"), nobody) == "there is no message to look at"
    assert why(leaf("status", ["open"]), nobody) == ""


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"field": "colour", "value": ["red"]}, "there is no field 'colour'"),
        (leaf("sentiment", ["angry"]), "'angry' is none of negative, neutral, positive"),
        (leaf("sentiment", []), "at least one value is needed"),
        (leaf("sentiment", "negative"), "a list of texts is expected"),
        (leaf("sentiment_score", 70, "at_least"), "a number from 0 to 1 is expected; it is 70"),
        (leaf("sentiment_score", True), "a number is expected"),
        (leaf("complaint", "yes"), "true or false is expected"),
        (leaf("hours", "9-17"), "hours like 08:00-17:00 are expected"),
        (leaf("hours", "09:00-09:00"), "begins and ends at the same minute"),
        (leaf("language", ["fr"], "matches"), "'matches' cannot be used; in or not_in can"),
        ({"any": []}, "never holds"),
        ({"all": [], "any": []}, "nothing beside it"),
        ({"all": leaf("bot", True)}, "a list of conditions is expected"),
        (NESTED, "nested more than 6 deep"),
        (7, "a condition is expected"),
        (leaf("pattern", "(a+)+$"), "takes too long on some texts"),
        (leaf("pattern", "(["), "cannot be read"),
        (leaf("pattern", "x*"), "fits every text"),
        (leaf("pattern", " "), "the pattern is empty"),
        ({"all": [leaf("language", ["fr"]), leaf("language", ["ar"])]}, "can never hold together"),
        ({"all": [leaf("language", ["fr"]), leaf("language", ["fr", "ar"], "not_in")]}, "can never hold together"),
        ({"all": [leaf("complaint", True), leaf("complaint", False)]}, "can never hold together"),
        (
            {"all": [leaf("message_count", 5, "at_least"), leaf("message_count", 4, "at_most")]},
            "can never hold together",
        ),
    ],
)
def test_a_condition_that_cannot_be_is_refused_with_the_reason(when: Any, said: str) -> None:
    with pytest.raises(ConditionError, match="when") as raised:
        conditions.read(when)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", r"(\w+\s?)*!", "(x|xx)*y", r"(\d+)*-(\d+)*x", "(ف+)+!", r"^(([a-z])+.)+[A-Z]([a-z])+$"],
)
def test_a_pattern_that_explodes_is_found_out_before_it_is_kept(pattern: str) -> None:
    with pytest.raises(patterns.PatternError, match="too long"):
        patterns.check(pattern)


@pytest.mark.parametrize(
    "pattern", [r"\bfactur\w+ \d{3}", r"\d{10}", "مبلغ|فاتورة", r"(?:rembours\w*|refund)", "7alwa?"]
)
def test_an_honest_pattern_passes(pattern: str) -> None:
    patterns.check(pattern)


def test_a_pattern_that_slipped_through_ends_by_itself_and_counts_as_not_fitting() -> None:
    assert patterns.fits("(x|xx)*y", "x" * 60 + "\u0001y") is None


LEAVES = st.one_of(
    st.builds(
        lambda value, op: Leaf("language", op, value),
        st.lists(st.sampled_from(FIELDS["language"].choices), min_size=1, max_size=3, unique=True),
        st.sampled_from(OPERATORS["choice"]),
    ),
    st.builds(lambda value: Leaf("complaint", "is", value), st.booleans()),
    st.builds(
        lambda value, op: Leaf("message_count", op, value), st.integers(0, 20), st.sampled_from(OPERATORS["number"])
    ),
    st.builds(lambda value: Leaf("labels", "any_of", value), st.lists(st.sampled_from("abc"), min_size=1, max_size=2)),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda nodes: Group("any", tuple(nodes)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda node: Group("not", (node,)), inner),
        st.builds(lambda nodes: Group("all", tuple(nodes)), st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)
SOME_FACTS = st.builds(
    lambda language, complaint, count, labels: replace(
        FACTS, language=language, is_complaint=complaint, message_count=count, labels=tuple(labels)
    ),
    st.sampled_from(FIELDS["language"].choices),
    st.booleans(),
    st.integers(0, 20),
    st.lists(st.sampled_from("abc"), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(TREES, SOME_FACTS)
def test_a_tree_either_holds_or_says_why_not_and_survives_being_written_down(tree: Node, facts: Facts) -> None:
    test = conditions.compiled(tree)
    assert test.failed(facts) if not test.holds(facts) else test.held(facts) is not None
    try:
        again = conditions.read(conditions.write(tree))
    except ConditionError as error:
        assert "never hold together" in str(error) or "deep" in str(error)
    else:
        assert again == tree
        assert conditions.compiled(again).holds(facts) == test.holds(facts)
    assert conditions.compiled(Group("not", (tree,))).holds(facts) != test.holds(facts)


def rule(then: Any = (), **more: Any) -> dict[str, Any]:
    return {"name": "Mine", "then": list(then), **more}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (rule([{"do": "dance"}]), "then.1 (dance): an action is expected"),
        (rule([{"do": "priority", "priority": "hot"}]), "then.1 (priority): priority: "),
        (rule([{"do": "label", "labels": []}]), "then.1 (label): labels: "),
        (rule([{"do": "wait", "minutes": 5}]), "then.1 (wait): nothing is done after the wait"),
        (rule([{"do": "wait", "minutes": -5}, {"do": "case"}]), "then.1 (wait): minutes: "),
        (rule([{"do": "reply"}]), "either a template or texts by language"),
        (rule([{"do": "reply", "texts": {"de": "Hallo"}}]), "'de' is none of"),
        (rule([{"do": "reply", "texts": {"fr": "Bonjour {nom}"}}]), "texts.fr: {nom} is not known"),
        (rule([{"do": "reply", "texts": {"fr": "Bonjour {name"}}]), "a brace that is not closed"),
        (rule([{"do": "reply", "texts": {"fr": "Bonjour {name.__class__}"}}]), "is not known"),
        (rule(on="tuesday"), "'tuesday' does not happen here"),
        (rule(on="agent_silent"), "silence_minutes: say after how many minutes"),
        (rule(when=leaf("colour", 1)), "'Mine': when: there is no field 'colour'"),
        ({"then": []}, "name: Field required"),
        ({"name": "Mine"}, "then: Field required"),
        (rule(most_per_conversation=-1), "most_per_conversation"),
        (rule(colour=1), "colour: Extra inputs are not permitted"),
        ("rule", "a rule is expected"),
    ],
)
def test_a_mistake_in_a_rule_names_the_rule_and_the_field(data: Any, said: str) -> None:
    with pytest.raises(RuleError) as raised:
        read(data, "Rule")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


WORLD = World(
    teams=frozenset({"support"}),
    agents=frozenset({"amina@example.com"}),
    channels=frozenset({"telegram"}),
    templates={language: {"hello": "Hi {name}"} for language in ("fr", "ar", "en", "arq-Arab", "arq-Latn")},
    has_mail=False,
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (rule([{"do": "team", "team": "moon"}]), "then.1 (team): there is no team 'moon'; there are support."),
        (rule([{"do": "agent", "agent": "omar@example.com"}]), "there is no agent 'omar@example.com'"),
        (rule([{"do": "skill", "skill": "magic"}]), "nobody has the skill 'magic'"),
        (rule([{"do": "webhook", "hook": "erp"}]), "there is no webhook 'erp'"),
        (rule([{"do": "reply", "template": "bye"}]), "there is no reply 'bye' in fr.toml"),
        (rule([{"do": "mail", "to": ["team"], "subject": "x"}]), "no mail server is set"),
        (rule(when=leaf("team", ["moon"])), "when (team): there is no team 'moon'"),
        (rule(when=leaf("channel", ["carrier-pigeon"])), "there is no channel 'carrier-pigeon'"),
    ],
)
def test_a_rule_that_names_what_is_not_there_is_refused(data: Any, said: str) -> None:
    with pytest.raises(RuleError) as raised:
        check_names(read(data, "Rule"), WORLD)
    assert said in str(raised.value)


def test_rules_that_answer_each_other_are_refused_and_named() -> None:
    opens = read({"name": "A", "on": "resolved", "then": [{"do": "reopen"}]}, "Rule")
    closes = read({"name": "B", "on": "reopened", "then": [{"do": "note", "text": "x"}, {"do": "resolve"}]}, "Rule")
    with pytest.raises(RuleError, match="“A”, which starts “B”, which starts “A”"):
        check_loops([opens, closes])
    check_loops([opens])
    check_loops([opens, replace(closes, is_on=False)])
    assigned = read({"name": "C", "on": "assigned", "then": [{"do": "agent", "agent": "x@y"}]}, "Rule")
    with pytest.raises(RuleError, match="“C”, which starts “C”"):
        check_loops([assigned])


def test_what_looks_like_a_slip_is_said_and_allowed() -> None:
    last = read({"name": "All", "stop": True, "then": [{"do": "team", "team": "support"}]}, "Rule")
    label = read({"name": "L", "when": leaf("labels", ["vip"]), "then": []}, "Rule")
    said = [sentence % values for sentence, values in warnings(label, [last], WORLD)]
    assert said == [
        "It is never tried, for “All” before it always ends the list.",
        "No conversation has the label “vip”, and no rule before gives it.",
        "It does nothing yet.",
    ]
    reference = read({"name": "R", "then": [{"do": "reply", "texts": {"en": "Case {reference}"}}]}, "Rule")
    assert warnings(reference, [], WORLD)[0][0].startswith("The text names the reference")


def test_a_file_of_rules_comes_back_as_it_was() -> None:
    bodies = [
        read(
            {
                "name": 'Étrange "guillemets" \\ et فاتورة',
                "on": "customer_silent",
                "silence_minutes": 90,
                "stop": True,
                "is_on": False,
                "most_per_person_a_day": 2,
                "when": {"any": [leaf("words", ["ligne\u007f", "ma facture"]), {"not": leaf("hours", "22:00-06:00")}]},
                "then": [
                    {"do": "reply", "texts": {"arq-Latn": "Salam\nkhouya", "fr": "Bonjour"}, "is_always": True},
                    {"do": "wait", "minutes": 0.5, "is_for_silence": True},
                    {"do": "resolve"},
                ],
            },
            "Rule",
        ),
        read({"name": "Plain", "when": {}, "then": {"team": "support"}}, "Rule"),
    ]
    text = write_file(bodies)
    assert list(read_file(text)) == bodies
    assert [read(write(body), "Rule") for body in bodies] == bodies
    for broken, said in (("rules = 3", "no rules"), ("[[rules]", "not valid TOML")):
        with pytest.raises(RuleError, match=said):
            read_file(broken)
