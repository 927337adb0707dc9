"""The demo company: its people, channels and last week, played through the real line with a clock of its own, and a
live trickle of messages that goes on while the server runs."""

import hashlib
import json
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import track
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from config.settings import HERE
from connectors.base import RawEvent
from connectors.registry import connector_class
from socialcrm import demo_bot, demo_cases
from socialcrm.demo_teaching import teach
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.ledger import RawEventRow
from socialcrm.domain.people import Agent, Presence, Role, Team
from socialcrm.domain.survey import Survey
from socialcrm.domain.survey_form import SCORE
from socialcrm.engine import answer, cases, ledger, survey
from socialcrm.engine.analyze import analyze
from socialcrm.engine.bot import speak
from socialcrm.engine.escalate import escalate
from socialcrm.engine.follow import follow
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from socialcrm.engine.prioritize import prioritize
from socialcrm.engine.resolve import resolve
from socialcrm.engine.route import route
from socialcrm.engine.schedule import deliver_due
from socialcrm.engine.survey_answers import record
from socialcrm.engine.triage import triage
from socialcrm.people import save_agent, save_team
from socialcrm.secrets import new_token

FOLDER = HERE / "demo"
ADMIN = {"name": "Admin", "email": "admin@wasla.example", "role": "admin", "team": "support", "languages": ["fr"]}
ONLINE = ("amina", "yacine", "sofiane", "lina")
TOGETHER = timedelta(minutes=4)
"""What happens in several conversations within this time goes through the line in one round."""
NOW_AND_THEN = timedelta(hours=1)
"""Promises and due cases are looked at so often in the demo's own time."""
SLOWER = 10
"""After its first round the stream comes so many times more slowly, so that a demo left alone does not drown."""
SPACE = uuid.UUID("5a0c1a1c-0000-4000-8000-000000000001")


@dataclass
class Clock:
    """The demo's own time."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Act:
    """One thing that happened in the demo's week."""

    at: datetime
    kind: str
    """customer, agent, note, resolve, confirm (that it is solved) or csat."""
    number: str
    conversation: dict[str, Any]
    what: dict[str, Any]


def rounds(acts: Iterable[Act]) -> Iterator[list[Act]]:
    """Acts in the order of time -> those that may go through the line together: close in time, and each in another
    conversation, so that none acts on what another of them brings about."""
    together: list[Act] = []
    for act in acts:
        is_new = all(act.conversation is not other.conversation for other in together)
        if together and not (is_new and act.at - together[0].at <= TOGETHER):
            yield together
            together = []
        together.append(act)
    if together:
        yield together


async def seed(line: Line, console: Console) -> None:
    """Make the company and play its week, once; a seeding that was interrupted goes on where it stopped."""
    company = tomllib.loads((FOLDER / "company.toml").read_text(encoding="utf-8"))
    if await _is_seeded(line):
        return
    await _people(line, company)
    channels = await _channels(line, company)
    now = line.now()
    acts = sorted((act for act in _acts(line, now) if act.at < now), key=lambda act: act.at)
    clock, looked = Clock(acts[0].at), acts[0].at
    past = replace(line, now=clock)
    for together in rounds(track(acts, "Playing the demo week", console=console, transient=True)):
        for act in together:
            clock.at = act.at
            await _play(past, act, channels[act.conversation["channel"]])
        clock.at += timedelta(seconds=1 + line.settings.survey.delay_seconds)
        await _through(past, {act.kind for act in together})
        if clock.at - looked >= NOW_AND_THEN:
            looked = clock.at
            await _look_after(past)
    await demo_bot.set_up(line)

    async def write(told: dict[str, Any], text: str, number: str, at: datetime) -> None:
        clock.at = at
        await _play(past, Act(at, "customer", number, told, {"text": text}), channels[told["channel"]])
        await _through(past, {"customer"})

    await demo_bot.talk(FOLDER / "bot.toml", channels, now, write)
    clock.at = now
    await _through(past, {"customer", "resolve"})
    await _look_after(past)
    await teach(line, FOLDER / "labels.jsonl")
    await _mark_seeded(line)


class Trickle:
    """The live stream: one message at a time."""

    def __init__(self, line: Line) -> None:
        self._line = line
        text = (FOLDER / "stream.jsonl").read_text(encoding="utf-8")
        self._stream = [json.loads(row) for row in text.splitlines() if row]
        self._ticks = 0

    async def next(self) -> None:
        """Let the next message come in."""
        self._ticks += 1
        async with self._line.database.write() as session:
            query = select(func.count()).select_from(RawEventRow).where(col(RawEventRow.run) == "trickle")
            played = (await session.scalar(query)) or 0
            if played >= len(self._stream) and self._ticks % SLOWER:
                return
            item = self._stream[played % len(self._stream)]
            channel = (await session.execute(select(Channel).where(col(Channel.key) == item["channel"]))).scalar_one()
            event = _event(channel, item, item["text"], f"trickle-{played}", self._line.now())
            await ledger.append(session, channel.id or 0, [event], self._line.now(), run="trickle")
        self._line.work.set()


async def _is_seeded(line: Line) -> bool:
    async with line.database.read() as session:
        admin = (await session.execute(select(Agent).where(col(Agent.email) == ADMIN["email"]))).scalar_one_or_none()
        return admin is not None


async def _mark_seeded(line: Line) -> None:
    """The admin comes last: their being there says that the week was played to its end."""
    await _save(line, ADMIN)


async def _save(line: Line, agent: dict[str, Any]) -> None:
    await save_agent(
        line.database,
        email=agent["email"],
        name=agent["name"],
        role=Role(agent["role"]),
        team=agent["team"],
        password=line.settings.demo.password,
        languages=tuple(agent["languages"]),
    )


async def _people(line: Line, company: dict[str, Any]) -> None:
    async with line.database.write() as session:
        for team in company["teams"]:
            await save_team(session, team["key"], team["name"])
    for agent in company["agents"]:
        await _save(line, agent)
    async with line.database.write() as session:
        for agent in (await session.execute(select(Agent))).scalars():
            is_here = agent.email.partition("@")[0] in ONLINE
            agent.presence = Presence.ONLINE if is_here else Presence.OFFLINE
            agent.locale = "fr"
            agent.skills = next((a.get("skills", []) for a in company["agents"] if a["email"] == agent.email), [])
        teams = {team.key: team for team in (await session.execute(select(Team))).scalars()}
        for entry in company["teams"]:
            if helper := teams.get(entry.get("helper", "")):
                teams[entry["key"]].overflow_team_id = helper.id


async def _channels(line: Line, company: dict[str, Any]) -> dict[str, Channel]:
    found = {}
    async with line.database.write() as session:
        for entry in company["channels"]:
            known = (
                await session.execute(select(Channel).where(col(Channel.key) == entry["key"]))
            ).scalar_one_or_none()
            found[entry["key"]] = known or _channel(line, company, entry)
            session.add(found[entry["key"]])
    return found


def _channel(line: Line, company: dict[str, Any], entry: dict[str, Any]) -> Channel:
    now = line.now()
    made = {key: new_token() for key in connector_class(entry["connector"]).made_secrets}
    return Channel(
        connector=entry["connector"],
        key=entry["key"],
        name=entry["name"],
        settings={"title": company["name"], "pictures": str(FOLDER)},
        credentials=line.vault.encrypt(made) if made else "",
        created_at=now,
        changed_at=now,
    )


def _acts(line: Line, now: datetime) -> Iterator[Act]:
    zone = ZoneInfo(line.settings.engagement.time_zone)
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for number, row in enumerate((FOLDER / "history.jsonl").read_text(encoding="utf-8").splitlines()):
        talk = json.loads(row)
        hour, minute = map(int, talk["start"]["time"].split(":"))
        day = today - timedelta(days=talk["start"]["days_ago"])
        start = day.replace(hour=hour, minute=minute).astimezone(UTC)
        for place, message in enumerate(talk["messages"]):
            at = start + timedelta(minutes=message["after"], seconds=(number * 7 + place * 13) % 50)
            yield Act(at, message["from"], f"demo-{number}-{place}", talk, message)
        if talk.get("resolved_after"):
            at = start + timedelta(minutes=talk["resolved_after"])
            yield Act(at, "resolve", f"demo-{number}", talk, talk["messages"][-1])
            if talk.get("csat"):
                yield Act(at + timedelta(minutes=7), "confirm", f"demo-{number}", talk, talk["csat"])
                yield Act(at + timedelta(minutes=9), "csat", f"demo-{number}", talk, talk["csat"])


async def _play(line: Line, act: Act, channel: Channel) -> None:
    if act.kind == "customer":
        event = _event(channel, act.conversation, act.what["text"], act.number, act.at)
        async with line.database.write() as session:
            await ledger.append(session, channel.id or 0, [event], act.at, run="demo")
        return
    async with line.database.write() as session:
        conversation = await _conversation(session, channel, act)
        if act.kind == "confirm":
            is_solved = act.what["score"] > 1 or bool(act.what.get("comment"))
            await demo_cases.confirm(session, line, conversation, is_solved=is_solved)
            return
        if act.kind == "csat":
            await _score(session, line, conversation, act)
            return
        agent = await _agent(session, act)
        if act.kind == "note":
            await answer.note(session, line, conversation, act.what["text"], agent, act.number)
        elif act.kind == "agent":
            conversation.agent_id = agent.id
            await answer.reply(session, line, conversation, act.what["text"], agent, act.number)
            await cases.answered(session, line, conversation, agent)
        else:
            await resolve(session, line, conversation, agent)
            await demo_cases.solve(session, line, conversation, agent)


async def _through(line: Line, waits: set[str]) -> None:
    """The steps over what came in."""
    if "customer" in waits:
        while await ingest(line):
            await analyze(line)
            await triage(line)
            quiet = line.now() + timedelta(seconds=line.settings.bot.settle_seconds)
            while await speak(replace(line, now=Clock(quiet))):
                pass
            await route(line)
    if waits & {"resolve", "confirm"}:
        await survey.survey(line)
    await deliver_due(line)


async def _look_after(line: Line) -> None:
    """The places in the queue, due cases and promises."""
    await prioritize(line)
    while await follow(line):
        pass
    await deliver_due(line)
    while await escalate(line):
        pass


async def _conversation(session: AsyncSession, channel: Channel, act: Act) -> Conversation:
    query = (
        select(Conversation)
        .where(
            col(Conversation.channel_id) == channel.id,
            col(Conversation.thread_key) == _thread(channel, act.conversation),
        )
        .order_by(col(Conversation.id).desc())
        .limit(1)
    )
    return (await session.execute(query)).scalar_one()


async def _agent(session: AsyncSession, act: Act) -> Agent:
    email = act.what.get("agent") or next(
        (m["agent"] for m in reversed(act.conversation["messages"]) if m.get("agent")), "amina@wasla.example"
    )
    return (await session.execute(select(Agent).where(col(Agent.email) == email))).scalar_one()


async def _score(session: AsyncSession, line: Line, conversation: Conversation, act: Act) -> None:
    query = (
        select(Survey).where(col(Survey.conversation_id) == conversation.id).order_by(col(Survey.id).desc()).limit(1)
    )
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        return
    answers = {SCORE: str(act.what["score"])}
    await record(session, line, row, answers, is_in_chat=True, comment=act.what.get("comment") or "")


def _thread(channel: Channel, talk: dict[str, Any]) -> str:
    handle: str = talk["contact"]["handle"]
    if channel.connector == "echo":
        return handle if talk["kind"] == "direct_message" else f"{talk['kind']}:{handle}"
    return hashlib.sha256(handle.encode()).hexdigest()[:32]


@cache
def _posts() -> dict[str, dict[str, Any]]:
    """What the company posted, as `EchoConnector` reads it."""
    found = {}
    for key, post in tomllib.loads((FOLDER / "posts.toml").read_text(encoding="utf-8")).items():
        told = {name: post[name] for name in ("url", "picture") if name in post}
        found[key] = {"id": f"post-{key}", "author": "Wasla Télécom", "text": post["text"].strip(), **told}
    return found


def _event(channel: Channel, talk: dict[str, Any], text: str, number: str, at: datetime) -> RawEvent:
    """The raw event with which a message of the demo comes in, in the form of its channel's connector."""
    contact = talk["contact"]
    if channel.connector == "echo":
        return RawEvent(
            {
                "id": number,
                "author": contact["handle"],
                "name": contact["name"],
                "handle": contact["handle"],
                "thread": _thread(channel, talk),
                "text": text,
                "kind": talk["kind"],
                "sent_at": at.isoformat(),
                **({"post": _posts()[talk["post"]]} if "post" in talk else {}),
            },
            number,
        )
    body = {"id": str(uuid.uuid5(SPACE, number)), "text": text, "name": contact["name"]}
    return RawEvent(
        {"visitor": _thread(channel, talk), "sent_at": at.astimezone(UTC).isoformat(), "body": body}, body["id"]
    )
