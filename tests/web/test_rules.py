"""The pages of rules: written by people who do not program, tried on the past, and never lost."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from multidict import MultiDict
from sqlalchemy import select

from connectors.journal import Journal
from socialcrm.domain.rows import Channel
from socialcrm.domain.rule_file import read_file, write_file
from socialcrm.domain.rulebook import read, write
from socialcrm.engine import rulebook
from socialcrm.engine.line import Line
from socialcrm.web import rule_sheet
from tests.engine.scripted import on_one_database
from tests.sessions import CSRF
from tests.story import Story
from tests.web.desk import Desk, desk

BODY: dict[str, Any] = {
    "name": "Angry bills",
    "on": "customer_silent",
    "silence_minutes": 90,
    "most_per_person_a_day": 2,
    "stop": True,
    "when": {
        "any": [
            {"field": "words", "op": "any_of", "value": ["ma facture", "فاتورة"]},
            {"not": {"any": [{"field": "labels", "op": "any_of", "value": ["a", "b"]}]}},
            {"all": [{"field": "hours", "op": "within", "value": "08:00-17:30"}]},
            {"field": "complaint", "op": "is", "value": False},
            {"field": "sentiment_score", "op": "at_least", "value": 0.5},
        ]
    },
    "then": [
        {"do": "reply", "texts": {"fr": "Bonjour {name}"}, "language": "fr", "is_always": True},
        {"do": "label", "labels": ["x", "y"]},
        {"do": "mail", "to": ["team", "a@example.com"], "subject": "s", "text": "t"},
        {"do": "wait", "minutes": 2880, "is_for_silence": True},
        {"do": "resolve"},
    ],
}


def fields_of(sheet: rule_sheet.Sheet) -> MultiDict[str]:
    """What a browser sends of a sheet."""
    form: MultiDict[str] = MultiDict(
        name=sheet.name,
        on=sheet.on,
        silence=sheet.silence,
        silence_unit=sheet.silence_unit,
        most_per_conversation=sheet.most_per_conversation,
        most_per_person_a_day=sheet.most_per_person_a_day,
    )
    form.extend({name: "on" for name in ("is_on", "stop") if getattr(sheet, name)})
    for number, line in enumerate(sheet.lines):
        form.extend({f"n{number}.how": line.how, f"n{number}.depth": str(line.depth)})
        if line.is_group:
            continue
        form.extend({f"n{number}.field": line.field, f"n{number}.was": line.field, f"n{number}.op": line.op})
        if line.field == "hours":
            start, end = line.value.split("-")
            form.extend({f"n{number}.value.from": start, f"n{number}.value.to": end})
        elif isinstance(line.value, list):
            for value in line.value:
                form.add(f"n{number}.value", value)
        else:
            form.add(f"n{number}.value", {True: "yes", False: "no"}.get(line.value, str(line.value)))
    for number, action in enumerate(sheet.actions):
        for key, value in action.items():
            if key == "texts":
                form.extend({f"a{number}.texts.{language}": text for language, text in value.items()})
            elif value is True:
                form.add(f"a{number}.{key}", "on")
            else:
                form.add(f"a{number}.{key}", ", ".join(value) if isinstance(value, list) else str(value))
    return form


def test_a_rule_goes_to_a_form_and_comes_back_as_it_was() -> None:
    body = read(BODY, "Rule")
    again = read(rule_sheet.read(fields_of(rule_sheet.of_body(body))).body(), "Rule")
    assert write(again) == write(body)


def test_lines_are_added_moved_and_removed_where_they_stand() -> None:
    sheet = rule_sheet.of_body(read(BODY, "Rule"))
    count = len(sheet.lines)
    assert rule_sheet.change(sheet, "add 2") == "n4-field"
    assert (sheet.lines[4].depth, len(sheet.lines)) == (2, count + 1)
    rule_sheet.change(sheet, "group 0")
    assert [line.how for line in sheet.lines[-3:]] == ["any", "leaf", "leaf"]
    rule_sheet.change(sheet, "remove 2")
    assert len(sheet.lines) == count + 1 + 3 - 3
    rule_sheet.change(sheet, "down 0")
    rule_sheet.change(sheet, "drop 4")
    rule_sheet.change(sheet, "action note")
    assert [action["do"] for action in sheet.actions] == ["label", "reply", "mail", "wait", "note"]
    for nonsense in ("remove 0", "add 99", "drop 99", "up 0", "dance", "up x"):
        before = len(sheet.lines), len(sheet.actions)
        rule_sheet.change(sheet, nonsense)
        assert (len(sheet.lines), len(sheet.actions)) == before


@pytest.fixture
async def boss(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as boss:
        await Story.begin(line)
        await boss.sign_in("supervisor")
        yield boss


async def names(boss: Desk) -> list[str]:
    async with boss.line.database.read() as session:
        return [row.name for row in await rulebook.rules(session)]


def sheet_of(**more: Any) -> MultiDict[str]:
    data = {"name": "Mine", "then": [{"do": "label", "labels": ["seen"]}], **more}
    return fields_of(rule_sheet.of_body(read(data, "Rule")))


@on_one_database
async def test_a_rule_is_written_saved_moved_switched_deleted_and_brought_back(boss: Desk) -> None:
    status, text = await boss.get("/automation/rules")
    assert (status, "Complaint about the network" in text) == (200, True)
    status, text = await boss.post("/automation/rules/new", sheet_of())
    assert (status, "Saved. The rule counts from now on." in text) == (200, True)
    before = await names(boss)
    assert before[-1] == "Mine"
    number = len(before)
    await boss.post(f"/automation/rules/{number}/move", {"to": "up"})
    after = await names(boss)
    assert after.index("Mine") + 1 == after.index("Everything else goes to support")
    _, text = await boss.post(f"/automation/rules/{number}/switch", {"on": "no"})
    assert "Switched off." in text
    await boss.post(f"/automation/rules/{number}", sheet_of(name="Yours"))
    _, text = await boss.get(f"/automation/rules/{number}")
    assert "Version 3" in text
    _, text = await boss.post(f"/automation/rules/{number}/delete")
    assert "Undo" in text
    assert "Yours" not in await names(boss)
    await boss.post(f"/automation/rules/{number}/restore")
    assert "Yours" in await names(boss)
    await boss.post(f"/automation/rules/{number}/restore", {"version": "1"})
    assert "Mine" in await names(boss)


@on_one_database
async def test_a_mistake_is_shown_with_its_place_and_nothing_is_lost(boss: Desk) -> None:
    form = sheet_of(then=[{"do": "reply", "texts": {"fr": "Bonjour {name}"}}])
    form["a0.texts.fr"] = "Bonjour {nom}"
    status, text = await boss.post("/automation/rules/new", form)
    assert status == 422
    assert "Action 1 “Answer the customer”: French: Nothing fills in {nom}." in text
    assert "Bonjour {nom}" in text
    form = sheet_of(when={"field": "pattern", "op": "matches", "value": "bill"})
    form["n1.value"] = "(a+)+$"
    _, text = await boss.post("/automation/rules/new", form)
    assert "Condition “Pattern in the message”: This pattern would take too long" in text
    form = sheet_of()
    form["name"] = ""
    _, text = await boss.post("/automation/rules/new", form)
    assert "Name: This is empty." in text
    assert "Mine" not in await names(boss)


@on_one_database
async def test_a_slip_is_saved_and_said(boss: Desk) -> None:
    status, text = await boss.post("/automation/rules/new", sheet_of(when={"field": "labels", "value": ["vip"]}))
    assert status == 200
    assert "No conversation has the label “vip”" in text
    assert "Mine" in await names(boss)


@on_one_database
async def test_the_sheet_changes_line_by_line_with_and_without_scripts(boss: Desk) -> None:
    form = sheet_of()
    form["act"] = "add 0"
    _, whole = await boss.post("/automation/rules/sheet", form)
    assert "<h1" in whole
    assert 'id="n1-field"' in whole
    answer = await boss.ask(
        "POST", "/automation/rules/sheet", data={"csrf_token": CSRF, **form}, headers={"HX-Request-Type": "partial"}
    )
    part = await answer.text()
    assert "<h1" not in part
    assert 'data-focus="n1-field"' in part
    form["n1.how"], form["n1.depth"], form["n1.field"], form["n1.was"] = "leaf", "1", "hours", "words"
    form["act"] = ""
    _, whole = await boss.post("/automation/rules/sheet", form)
    assert 'type="time"' in whole


@on_one_database
async def test_a_rule_is_tried_on_the_past_and_compared_with_the_saved_one(boss: Desk) -> None:
    story = Story(boss.line, (await channels(boss))[0], Journal(boss.line.settings.storage.folder / "x.jsonl"))
    await story.customer_writes("Bonjour, merci pour tout")
    await story.customer_writes("ma connexion est en panne, service nul", author="nadia")
    form = sheet_of(when={"field": "complaint", "value": True})
    form["days"] = "7"
    await boss.post("/automation/rules/trial", form)
    text = await finished(boss)
    assert "of 2 messages (50%)" in " ".join(text.split())
    await boss.post("/automation/rules/new", sheet_of())
    form["id"] = str(len(await names(boss)))
    await boss.post("/automation/rules/trial", form)
    assert "Both fire on 1 messages; only the new one on 0, only the saved one on 1." in await finished(boss)
    form = sheet_of(on="agent_silent", silence_minutes=5)
    _, text = await boss.post("/automation/rules/trial", form)
    assert "cannot be tried on the past" in text


async def channels(boss: Desk) -> Any:
    async with boss.line.database.read() as session:
        return (await session.execute(select(Channel))).scalars().all()


async def finished(boss: Desk) -> str:
    async with asyncio.timeout(20):
        while "every 1s" in (text := (await boss.get("/automation/rules/trial"))[1]):
            await asyncio.sleep(0.02)
    return text


@on_one_database
async def test_rules_come_out_as_a_file_and_go_in_again(boss: Desk) -> None:
    status, text = await boss.get("/automation/rules/export")
    assert status == 200
    bodies = read_file(text)
    assert len(bodies) == len(await names(boss))
    changed = write_file([*bodies, read({"name": "Another", "then": []}, "Rule")])
    status, text = await boss.post("/automation/rules/import", file_of(changed))
    assert "Imported: 1 added, 0 changed." in text
    status, text = await boss.post("/automation/rules/import", file_of('[[rules]]\nname = "N"\nthen = { team = "x" }'))
    assert (status, "there is no team" in text) == (400, True)
    for bad in (b"\xff\xfe", b"rules = 1", b""):
        assert (await boss.post("/automation/rules/import", file_of(bad)))[0] == 400


def file_of(content: str | bytes) -> dict[str, Any]:
    raw = content.encode() if isinstance(content, str) else content
    file = BytesIO(raw)
    file.name = "rules.toml"
    return {"file": file}


@on_one_database
async def test_agents_see_why_and_only_supervisors_and_admins_write_rules_and_only_admins_webhooks(boss: Desk) -> None:
    story = Story(boss.line, (await channels(boss))[0], Journal(boss.line.settings.storage.folder / "x.jsonl"))
    await story.customer_writes("my internet is down, this is unacceptable")
    assert (await boss.post("/automation/hooks", {"name": "erp", "url": "https://x.example/"}))[0] == 403
    await boss.sign_in("admin")
    status, text = await boss.post("/automation/hooks", {"name": "erp", "url": "ftp://x.example/"})
    assert (status, "This is no address" in text) == (422, True)
    status, text = await boss.post("/automation/hooks", {"name": "erp", "url": "https://x.example/hook"})
    assert (status, "erp" in text, "Secret" in text) == (200, True, True)
    await boss.sign_in("agent")
    assert (await boss.get("/automation/rules"))[0] == 403
    assert (await boss.post("/automation/rules/1/delete"))[0] == 403
    status, text = await boss.get("/automation/rules/log/1")
    assert (status, "Complaint about the network" in text) == (200, True)
    assert (await boss.get("/automation/rules/log/99"))[0] == 404


@on_one_database
@pytest.mark.parametrize("locale", ["fr", "ar"])
async def test_every_word_of_the_pages_is_in_the_language_of_the_screen(boss: Desk, locale: str) -> None:
    agent = await boss.sign_in("admin", locale)
    assert agent.locale == locale
    for path in ("/automation/rules", "/automation/rules/new", "/automation/rules/3", "/automation/hooks"):
        status, text = await boss.get(path)
        assert status == 200
        for english in ("Then", "Give it to a team", "Condition<", "Words in the message", "Try it", "Webhook<"):
            assert f">{english}" not in text or english in ("Condition<", "Webhook<")
