"""Rules: the list in its order, writing one, its versions, files, and trying one on the past."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.fields import FIELDS, GROUPS, OPERATORS
from socialcrm.domain.hook import Hook
from socialcrm.domain.message import RuleTrace
from socialcrm.domain.people import Agent, Role, Team
from socialcrm.domain.rule import Rule, RuleRun, RuleTask, TaskStatus
from socialcrm.domain.rule_file import read_file, write_file
from socialcrm.domain.rulebook import EVENTS, LANGUAGES, MAIL_WORDS, SILENCES, Body, RuleError, read, warnings
from socialcrm.engine import rulebook
from socialcrm.web import rule_sheet
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import is_partial, page
from socialcrm.web.rule_sheet import Sheet
from socialcrm.web.rule_trial import TRIALS, Trials
from socialcrm.web.rule_words import (
    ACTION_WORDS,
    EVENT_WORDS,
    FIELD_WORDS,
    GROUP_WORDS,
    OP_WORDS,
    SECTIONS,
    TASK_WORDS,
    WHY_WORDS,
    Say,
    describe,
    describe_action,
    explain,
    span,
    value_word,
)
from socialcrm.web.words import N_

log = logging.getLogger(__name__)
routes = web.RouteTableDef()
MAY_EDIT = (Role.SUPERVISOR, Role.ADMIN)
COUNTED = timedelta(days=7)
FILE_BYTES = 1_000_000
LOGGED = 50
"""Newest entries of a conversation's log."""
ID = r"{id:\d{1,18}}"


def setup(app: web.Application) -> None:
    """Room for back-tests that run."""
    app[TRIALS] = Trials()
    app.on_shutdown.append(_stop)


async def _stop(app: web.Application) -> None:
    app[TRIALS].stop()


@routes.get("/automation/rules", name="rules")
@needs(*MAY_EDIT)
async def rules(request: web.Request) -> web.Response:
    """All rules in the order in which they are tried, and what waits for its time."""
    line, gettext = request.app[LINE], _say(request)
    await rulebook.ensure(line)
    async with line.database.read() as session:
        rows = await rulebook.rules(session)
        fired = await rulebook.fired(session, line.now() - COUNTED)
        waiting = await _waiting(session)
    bodies = {row.id: rulebook.body_of(row) for row in rows}
    sections = [
        (is_message, [row for row in rows if (row.event == "message") == is_message]) for is_message in (True, False)
    ]
    return await page(
        request,
        "rules/rules.html",
        nav="automation",
        sections=[section for section in sections if section[1]],
        bodies=bodies,
        fired=fired,
        waiting=waiting,
        events=EVENT_WORDS,
        task_words=TASK_WORDS,
        described=lambda body: describe(body.when, gettext),
        done=lambda body: [describe_action(action, gettext) for action in body.then],
        silence=lambda body: span(body.silence_minutes, gettext),
        error=request.query.get("error", ""),
        note=_note(request),
    )


@routes.get("/automation/rules/new", name="rule_new")
@needs(*MAY_EDIT)
async def new(request: web.Request) -> web.Response:
    """An empty sheet."""
    return await _edit(request, Sheet(actions=[]), None)


@routes.get(f"/automation/rules/{ID}", name="rule")
@needs(*MAY_EDIT)
async def show(request: web.Request) -> web.Response:
    """One rule, to change, with what it was before."""
    row = await _row(request)
    if row is None:
        raise web.HTTPNotFound
    return await _edit(request, rule_sheet.of_body(rulebook.body_of(row)), row)


@routes.post("/automation/rules/sheet", name="rule_sheet")
@needs(*MAY_EDIT)
async def sheet(request: web.Request) -> web.Response:
    """The sheet again, after a line was added, removed or got another field."""
    form = await request.post()
    made = rule_sheet.read(form)
    focus = rule_sheet.change(made, str(form.get("act", "")))
    row = await _row(request, str(form.get("id", "")))
    if is_partial(request):
        return await page(request, "rules/_sheet.html", **await _context(request, made, row), focus=focus)
    return await _edit(request, made, row)


@routes.post("/automation/rules/new", name="rule_make")
@needs(*MAY_EDIT)
async def make(request: web.Request) -> web.StreamResponse:
    """Keep a new rule."""
    return await _save(request, None)


@routes.post(f"/automation/rules/{ID}", name="rule_change")
@needs(*MAY_EDIT)
async def change(request: web.Request) -> web.StreamResponse:
    """Keep a changed rule, as a version of its own."""
    return await _save(request, await _row(request))


async def _save(request: web.Request, row: Rule | None) -> web.StreamResponse:
    line = request.app[LINE]
    form = await request.post()
    made = rule_sheet.read(form)
    try:
        body = read(made.body(), "Rule")
        async with line.database.write() as session:
            before = await rulebook.rules(session)
            kept = await rulebook.save(session, line, body, request[AGENT], row.id if row else None)
            number = kept.id
            earlier = [rulebook.body_of(one) for one in before if one.id != number and one.position < kept.position]
            found = warnings(body, earlier, await rulebook.world(session, line))
    except RuleError as error:
        return await _edit(request, made, row, explain(str(error), _say(request)), status=422)
    line.work.set()
    if found:
        said = [say(request, sentence, **values) for sentence, values in found]
        kept_row = await _row(request, str(number))
        return await _edit(request, rule_sheet.of_body(body), kept_row, warned=said)
    raise web.HTTPSeeOther(f"/automation/rules?done=saved#rule-{number}")


@routes.post(f"/automation/rules/{ID}/switch", name="rule_switch")
@needs(*MAY_EDIT)
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch a rule on or off."""
    line, row = request.app[LINE], await _row(request)
    is_on = (await request.post()).get("on") == "yes"
    try:
        async with line.database.write() as session:
            await rulebook.switch(session, line, _id(row), is_on, request[AGENT])
    except RuleError as error:
        raise web.HTTPConflict(text=explain(str(error), _say(request))) from None
    raise web.HTTPSeeOther(f"/automation/rules?done={'on' if is_on else 'off'}#rule-{row.id if row else ''}")


@routes.post(f"/automation/rules/{ID}/move", name="rule_move")
@needs(*MAY_EDIT)
async def move(request: web.Request) -> web.StreamResponse:
    """Move a rule up or down."""
    line, row = request.app[LINE], await _row(request)
    step = -1 if (await request.post()).get("to") == "up" else 1
    async with line.database.write() as session:
        await rulebook.move(session, line, _id(row), step)
    raise web.HTTPSeeOther(f"/automation/rules?moved={_id(row)}.{'up' if step < 0 else 'down'}")


@routes.post(f"/automation/rules/{ID}/delete", name="rule_delete")
@needs(*MAY_EDIT)
async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a rule; the page offers to take that back."""
    line, row = request.app[LINE], await _row(request)
    async with line.database.write() as session:
        await rulebook.remove(session, line, _id(row), request[AGENT])
    raise web.HTTPSeeOther(f"/automation/rules?done=deleted&rule={_id(row)}")


@routes.post(f"/automation/rules/{ID}/restore", name="rule_restore")
@needs(*MAY_EDIT)
async def restore(request: web.Request) -> web.StreamResponse:
    """Make a rule again what it was in one of its versions; the newest one, when it was deleted."""
    line, number = request.app[LINE], int(request.match_info["id"])
    version = str((await request.post()).get("version", ""))
    try:
        async with line.database.write() as session:
            known = await rulebook.versions(session, number)
            if not known:
                raise web.HTTPNotFound
            chosen = int(version) if version.isascii() and version.isdigit() else known[0][0].version
            await rulebook.restore(session, line, number, chosen, request[AGENT])
    except RuleError as error:
        raise web.HTTPConflict(text=explain(str(error), _say(request))) from None
    raise web.HTTPSeeOther(f"/automation/rules?done=restored#rule-{number}")


@routes.get("/automation/rules/export", name="rules_export")
@needs(*MAY_EDIT)
async def export(request: web.Request) -> web.Response:
    """All rules as a file."""
    line = request.app[LINE]
    await rulebook.ensure(line)
    async with line.database.read() as session:
        text = write_file([rulebook.body_of(row) for row in await rulebook.rules(session)])
    headers = {"Content-Disposition": 'attachment; filename="rules.toml"', "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="application/toml", charset="utf-8", headers=headers)


@routes.post("/automation/rules/import", name="rules_import")
@needs(*MAY_EDIT)
async def import_file(request: web.Request) -> web.StreamResponse:
    """Take rules from a file; all or none."""
    line, file = request.app[LINE], (await request.post()).get("file")
    if not isinstance(file, web.FileField):
        raise web.HTTPBadRequest(text=say(request, "Choose a file with rules first."))
    try:
        text = file.file.read(FILE_BYTES).decode()
    except UnicodeDecodeError:
        raise web.HTTPBadRequest(text=say(request, "This file is no text in UTF-8.")) from None
    try:
        bodies = read_file(text, file.filename)
        async with line.database.write() as session:
            added, changed = await rulebook.import_rules(session, line, bodies, request[AGENT])
    except RuleError as error:
        raise web.HTTPBadRequest(text=f"{file.filename}: {error}") from None
    raise web.HTTPSeeOther(f"/automation/rules?done=imported&added={added}&changed={changed}")


@routes.post("/automation/rules/trial", name="rule_trial")
@needs(*MAY_EDIT)
async def trial(request: web.Request) -> web.Response:
    """Begin to try what is on the sheet on the past, beside the rule as it is saved."""
    line = request.app[LINE]
    form = await request.post()
    row = await _row(request, str(form.get("id", "")))
    days = str(form.get("days", "30"))
    state: dict[str, Any] = {"error": ""}
    try:
        body = read(rule_sheet.read(form).body(), "Rule")
        if body.on in SILENCES:
            raise RuleError("A rule on silence cannot be tried on the past: it depends on what nobody did.")
        saved = rulebook.body_of(row) if row else None
        is_changed = saved is not None and saved.on == body.on and replace(saved, is_on=body.is_on) != body
        bodies = (body, saved) if saved and is_changed else (body,)
        request.app[TRIALS].start(line, request[AGENT].id or 0, bodies, int(days) if days.isdigit() else 30)
    except RuleError as error:
        state["error"] = explain(str(error), _say(request))
    run = None if state["error"] else request.app[TRIALS].of(request[AGENT].id or 0)
    return await page(request, "rules/_trial.html", run=run, **state)


@routes.get("/automation/rules/trial", name="rule_trial_state")
@needs(*MAY_EDIT)
async def trial_state(request: web.Request) -> web.Response:
    """How far the back-test is: for htmx, while it runs."""
    run = request.app[TRIALS].of(request[AGENT].id or 0)
    return await page(request, "rules/_trial.html", run=run, error="")


@routes.get("/automation/rules/log/{id:\\d{1,18}}", name="rule_log")
async def show_log(request: web.Request) -> web.Response:
    """Which rules were tried in one conversation, on messages and on all else, and why each did or did not fire."""
    number = int(request.match_info["id"])
    async with request.app[LINE].database.read() as session:
        traces = select(RuleTrace).where(col(RuleTrace.conversation_id) == number).order_by(col(RuleTrace.id).desc())
        runs = select(RuleRun).where(col(RuleRun.conversation_id) == number).order_by(col(RuleRun.id).desc())
        tasks = select(RuleTask).where(col(RuleTask.conversation_id) == number).order_by(col(RuleTask.id).desc())
        entries = [
            *(("message", row.at, row.lines, row.message_id) for row in await _newest(session, traces)),
            *((row.event, row.at, row.lines, None) for row in await _newest(session, runs)),
        ]
        waiting = await _newest(session, tasks)
    if not entries and not waiting:
        raise web.HTTPNotFound(text=say(request, "No rule was tried in this conversation."))
    return await page(
        request,
        "rules/log.html",
        nav="automation",
        number=number,
        entries=sorted(entries, key=lambda entry: entry[1], reverse=True),
        waiting=waiting,
        events={**EVENT_WORDS, "later": N_("Something that had waited")},
        task_words=TASK_WORDS,
    )


async def _newest(session: AsyncSession, query: Any) -> Any:
    return (await session.execute(query.limit(LOGGED))).scalars().all()


async def _edit(
    request: web.Request, sheet: Sheet, row: Rule | None, error: str = "", status: int = 200, warned: Any = ()
) -> web.Response:
    line = request.app[LINE]
    async with line.database.read() as session:
        versions = await rulebook.versions(session, row.id or 0) if row else []
    gettext = _say(request)
    return await page(
        request,
        "rules/rule.html",
        status=status,
        nav="automation",
        versions=versions,
        why_words=WHY_WORDS,
        body_of=rulebook.body_of,
        described=lambda body: describe(body.when, gettext),
        done=lambda body: [describe_action(action, gettext) for action in body.then],
        error=error,
        warned=warned,
        focus="",
        run=None,
        **await _context(request, sheet, row),
    )


async def _context(request: web.Request, sheet: Sheet, row: Rule | None) -> dict[str, Any]:
    """What the sheet's selects offer."""
    line, gettext = request.app[LINE], _say(request)
    async with line.database.read() as session:
        world = await rulebook.world(session, line)
        teams = (await session.execute(select(col(Team.key), col(Team.name)).order_by(col(Team.name)))).all()
        people = (
            await session.execute(
                select(col(Agent.email), col(Agent.name)).where(col(Agent.is_active)).order_by(col(Agent.name))
            )
        ).all()
        hooks = (await session.execute(select(col(Hook.name)).order_by(col(Hook.name)))).scalars().all()
    return {
        "sheet": sheet,
        "row": row,
        "fields": FIELDS,
        "field_groups": [(SECTIONS[group], [f for f in FIELDS.values() if f.group == group]) for group in GROUPS],
        "operators": OPERATORS,
        "field_words": FIELD_WORDS,
        "op_words": OP_WORDS,
        "group_words": GROUP_WORDS,
        "event_words": {event: EVENT_WORDS[event] for event in EVENTS},
        "action_words": ACTION_WORDS,
        "reply_languages": LANGUAGES,
        "mail_words": MAIL_WORDS,
        "silences": SILENCES,
        "templates": sorted(line.engagement.replies["fr"]),
        "preview": lambda key: line.engagement.replies[_reply_language(request)].get(key, ""),
        "offered": _offered(world, teams, people),
        "teams": teams,
        "people": people,
        "skills": sorted(world.skills),
        "known_labels": sorted(world.labels),
        "hooks": hooks,
        "value_word": lambda field, value: value_word(field, value, gettext),
    }


def _offered(world: Any, teams: Any, people: Any) -> Mapping[str, list[tuple[str, str]]]:
    """Source of a field -> values and their names."""
    return {
        "teams": [(key, name) for key, name in teams],
        "agents": [(email, name) for email, name in people],
        "channels": [(key, key) for key in sorted(world.channels)],
    }


def _reply_language(request: web.Request) -> str:
    lang = language(request)
    return lang if lang in LANGUAGES else "fr"


async def _row(request: web.Request, number: str | None = None) -> Rule | None:
    """The rule of the address; None for a new one."""
    text = request.match_info.get("id", "") if number is None else number
    if not (text.isascii() and text.isdigit()):
        return None
    async with request.app[LINE].database.read() as session:
        row = await session.get(Rule, int(text))
    if row is None or row.deleted_at is not None:
        raise web.HTTPNotFound(text=say(request, "This rule is not there any more."))
    return row


def _id(row: Rule | None) -> int:
    if row is None or row.id is None:
        raise web.HTTPNotFound
    return row.id


async def _waiting(session: AsyncSession) -> list[RuleTask]:
    """What rules left for later, the next first, and what failed of late."""
    query = (
        select(RuleTask)
        .where(col(RuleTask.status).in_((TaskStatus.WAITING.value, TaskStatus.DOING.value)))
        .order_by(col(RuleTask.due_at))
        .limit(20)
    )
    failed = (
        select(RuleTask)
        .where(col(RuleTask.status) == TaskStatus.FAILED.value)
        .order_by(col(RuleTask.id).desc())
        .limit(5)
    )
    return [*(await session.execute(failed)).scalars(), *(await session.execute(query)).scalars()]


def _note(request: web.Request) -> str:
    """What was just done, in words."""
    query = request.query
    match query.get("done", ""):
        case "saved":
            return say(request, "Saved. The rule counts from now on.")
        case "on":
            return say(request, "Switched on.")
        case "off":
            return say(request, "Switched off.")
        case "deleted":
            return say(request, "Deleted.")
        case "restored":
            return say(request, "Restored.")
        case "imported":
            counts = {name: query.get(name, "0")[:9] for name in ("added", "changed")}
            return say(request, "Imported: %(added)s added, %(changed)s changed.", **counts)
    return ""


def _say(request: web.Request) -> Say:
    return translations(language(request)).gettext


__all__ = ["Body", "routes", "setup"]
