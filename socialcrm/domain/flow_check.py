"""What is wrong with a flow that can be read: where it leads nowhere, goes round for ever, or says what it cannot."""

from collections.abc import Collection, Iterator, Mapping
from string import Formatter

from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.flow import (
    END,
    AnyStep,
    Ask,
    AskCallBack,
    Confirm,
    Faq,
    Flow,
    FlowError,
    Goto,
    HandOver,
    If,
    OpenCase,
    exits,
    texts_of,
)

GIVEN = frozenset({"name", "company", "place", "opening", "url", "is_open", "language"})
"""Variables that every flow has."""
MOST_CHOICES = 10


def check_flow(flow: Flow, entries: Collection[str], others: Mapping[str, Flow]) -> list[FlowError]:
    """Every mistake of a flow, beside the flows that it can lead to and the entries of the FAQ; empty of a good one."""
    flows = {**others, flow.name: flow}
    found = [*_names(flow), *_targets(flow, entries, flows)]
    if found:  # the rest follows the ways that steps lead
        return found
    return [*_unreachable(flow), *_rounds(flow, flows), *_languages(flow), *_variables(flow)]


def _names(flow: Flow) -> Iterator[FlowError]:
    seen: set[str] = set()
    for step in flow.steps:
        if step.id == END:
            yield FlowError("No step can be called “end”: that is where a flow is over.")
        if step.id in seen:
            yield FlowError("Two steps are called “%(step)s”.", step=step.id)
        seen.add(step.id)
        if isinstance(step, Ask):
            yield from _choices(step)
    for language in flow.languages:
        if language not in LANGUAGES:
            yield FlowError(
                "languages: there is no “%(language)s”; there are %(known)s.",
                language=language,
                known=", ".join(LANGUAGES),
            )


def _choices(step: Ask) -> Iterator[FlowError]:
    values = [choice.value for choice in step.choices]
    if step.kind == "choice" and not 2 <= len(values) <= MOST_CHOICES:
        yield FlowError(
            "Step “%(step)s” asks for a choice: it needs 2 to %(most)s choices and has %(count)s.",
            step=step.id,
            most=MOST_CHOICES,
            count=len(values),
        )
    if step.kind != "choice" and values:
        yield FlowError("Step “%(step)s” has choices, but asks for a %(kind)s.", step=step.id, kind=step.kind)
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield FlowError("Step “%(step)s” has two choices with the value “%(value)s”.", step=step.id, value=value)


def _targets(flow: Flow, entries: Collection[str], flows: Mapping[str, Flow]) -> Iterator[FlowError]:
    known = {step.id for step in flow.steps} | {END}
    for step in flow.steps:
        for way in exits(flow, step):
            if way.flow and way.flow not in flows:
                yield FlowError(
                    "Step “%(step)s” leads to the flow “%(flow)s”, which does not exist.", step=step.id, flow=way.flow
                )
            if way.to and way.to not in known:
                yield FlowError("Step “%(step)s” leads to “%(to)s”, which does not exist.", step=step.id, to=way.to)
        if isinstance(step, Goto) and not step.flow and not step.goto:
            yield FlowError("Step “%(step)s” leads nowhere: give it a goto or a flow.", step=step.id)
        if isinstance(step, Faq) and step.entry not in entries:
            yield FlowError(
                "Step “%(step)s” answers with “%(entry)s”, which the FAQ does not have.",
                step=step.id,
                entry=step.entry,
            )


def _unreachable(flow: Flow) -> Iterator[FlowError]:
    reached: set[str] = set()
    waiting = [flow.steps[0].id]
    while waiting:
        name = waiting.pop()
        if name not in reached and name != END:
            reached.add(name)
            waiting += [way.to for way in exits(flow, flow.step(name)) if way.to]
    for step in flow.steps:
        if step.id not in reached:
            yield FlowError("Nothing leads to the step “%(step)s”.", step=step.id)


def _rounds(flow: Flow, flows: Mapping[str, Flow]) -> Iterator[FlowError]:
    """A way round through steps that do not wait for an answer, through other flows too."""
    done: set[tuple[str, str]] = set()

    def walk(at: tuple[str, str], path: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if at in path:
            return [*path[path.index(at) :], at]
        if at in done or at[1] == END:
            return []
        step = flows[at[0]].step(at[1])
        if not isinstance(step, Ask | Confirm | HandOver):
            for way in exits(flows[at[0]], step):
                if way.flow not in flows and way.flow:
                    continue
                to = (way.flow, flows[way.flow].steps[0].id) if way.flow else (at[0], way.to)
                if to[1] != END and not any(s.id == to[1] for s in flows[to[0]].steps):
                    continue
                if found := walk(to, [*path, at]):
                    return found
        done.add(at)
        return []

    for step in flow.steps:
        if found := walk((flow.name, step.id), []):
            names = [name if of == flow.name else f"{of}/{name}" for of, name in found]
            yield FlowError(
                "These steps go round for ever without asking anything: %(steps)s.", steps=" → ".join(names)
            )
            return


def _languages(flow: Flow) -> Iterator[FlowError]:
    for step in flow.steps:
        for field, text in texts_of(step):
            missing = [language for language in flow.languages if not text.get(language, "").strip()]
            if missing:
                yield FlowError(
                    "Step “%(step)s”, %(field)s: the text in %(languages)s is missing.",
                    step=step.id,
                    field=field,
                    languages=", ".join(missing),
                )
            for language in [language for language in text if language not in LANGUAGES]:
                yield FlowError(
                    "Step “%(step)s”, %(field)s: there is no language “%(language)s”.",
                    step=step.id,
                    field=field,
                    language=language,
                )


def _variables(flow: Flow) -> Iterator[FlowError]:
    kept = {step.keep for step in flow.steps if isinstance(step, Ask) and step.keep}
    sure = _sure(flow)
    for step in flow.steps:
        if isinstance(step, If) and step.variable not in GIVEN | kept | {"reference"}:
            yield _unknown(step, step.variable, False)
        for name in _used(step):
            if isinstance(name, FlowError):
                yield name
            elif name not in sure[step.id]:
                yield _unknown(step, name, name in kept)


def _unknown(step: AnyStep, name: str, is_asked_elsewhere: bool) -> FlowError:
    if name == "reference":
        return FlowError("Step “%(step)s” uses {reference}, but no case was opened on every way to it.", step=step.id)
    if is_asked_elsewhere:
        return FlowError(
            "Step “%(step)s” uses {%(name)s}, which is not asked on every way to it.", step=step.id, name=name
        )
    return FlowError("Step “%(step)s” uses {%(name)s}, which nothing asks for.", step=step.id, name=name)


def _used(step: AnyStep) -> list[str | FlowError]:
    found: dict[str, None] = {}
    for field, text in texts_of(step):
        for language, words in text.items():
            try:
                names = variables(words)
            except ValueError as error:
                return [
                    FlowError(
                        "Step “%(step)s”, %(field)s.%(language)s: the braces cannot be read (%(error)s).",
                        step=step.id,
                        field=field,
                        language=language,
                        error=str(error),
                    )
                ]
            found |= dict.fromkeys(names)
    if isinstance(step, AskCallBack):
        found |= dict.fromkeys(name for name in (step.phone, step.at, step.about) if name)
    return list(found)


def variables(text: str) -> list[str]:
    """The names in braces of a text. Raises ValueError where braces do not match or hold anything but a name."""
    names = []
    for _, name, form, conversion in Formatter().parse(text):
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"{{{name}}} is no name")
        names.append(name)
    return names


def _sure(flow: Flow) -> dict[str, frozenset[str]]:
    """Step -> the variables that have a value on every way to it: what is left when each way has taken away what it
    does not give (the greatest fixed point)."""
    asked = {step.keep for step in flow.steps if isinstance(step, Ask) and step.keep}
    sure = {step.id: GIVEN | {"reference"} | asked for step in flow.steps}
    sure[flow.steps[0].id] = GIVEN
    is_changed = True
    while is_changed:
        is_changed = False
        for step in flow.steps:
            for to, after in _after(flow, step, sure[step.id]):
                if to != END and not sure[to] <= after:
                    sure[to] &= after
                    is_changed = True
    return sure


def _after(flow: Flow, step: AnyStep, before: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    gained = {step.keep} if isinstance(step, Ask) and step.keep else set()
    if isinstance(step, OpenCase):
        gained.add("reference")
    for way in exits(flow, step):
        if not way.to:
            continue
        is_given_up = isinstance(step, Ask | Confirm) and way.to == step.otherwise
        is_tested = isinstance(step, If) and way.to == step.then
        after = before if is_given_up else before | gained
        yield way.to, frozenset(after | {step.variable}) if is_tested and isinstance(step, If) else frozenset(after)
