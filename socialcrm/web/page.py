"""Rendering: one Jinja environment per language."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from connectors.base import kind_of
from socialcrm.domain.media import RISKY, SHOWN
from socialcrm.domain.people import Role
from socialcrm.reports.accounts import signed_out
from socialcrm.web import promised, routed
from socialcrm.web.i18n import LANGUAGES, Formats, direction, language, translations
from socialcrm.web.keys import AGENT, LINE, SESSION
from socialcrm.web.named import names
from socialcrm.web.promises import unseen
from socialcrm.web.reasons import deed, reason, rule_name
from socialcrm.web.signals import tags
from socialcrm.web.words import N_, word

HERE = Path(__file__).parent
STATIC = HERE / "static"

EVERYBODY = tuple(Role)
NAVIGATION: tuple[tuple[str, str, str, tuple[Role, ...]], ...] = (
    ("inbox", "/inbox", N_("Inbox"), EVERYBODY),
    ("cases", "/cases", N_("Com\u00adplaints"), EVERYBODY),
    ("reports", "/reports", N_("Reports"), (Role.SUPERVISOR, Role.ANALYST, Role.ADMIN)),
    ("understanding", "/understanding", N_("Under\u00adstanding"), (Role.SUPERVISOR, Role.ADMIN)),
    ("team", "/team", N_("Team"), (Role.SUPERVISOR, Role.ADMIN)),
    ("automation", "/automation", N_("Auto\u00admation"), (Role.SUPERVISOR, Role.ADMIN)),
    ("channels", "/channels", N_("Channels"), (Role.SUPERVISOR, Role.ADMIN)),
    ("ledger", "/ledger", N_("Ledger"), (Role.SUPERVISOR, Role.ADMIN)),
)
"""Name (also of the icon), path, words, and who sees it; shown once there is a page under the path."""


async def page(request: web.Request, template: str, status: int = 200, **context: Any) -> web.Response:
    """A rendered template as a response that no cache keeps."""
    text = render(request, template, lost=await _lost(request), unseen=await _unseen(request), **context)
    headers = {"Cache-Control": "no-store", "Vary": "HX-Request-Type, Accept-Language, Cookie"}
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)


async def _lost(request: web.Request) -> list[tuple[int, str]]:
    """The channels that are signed out, for those who can do something about it."""
    agent = request.get(AGENT)
    if agent is None or agent.role not in (Role.SUPERVISOR, Role.ADMIN) or is_partial(request):
        return []
    async with request.app[LINE].database.read() as session:
        return await signed_out(session)


async def _unseen(request: web.Request) -> int:
    """How many notices wait for who looks at the page."""
    agent = request.get(AGENT)
    if agent is None or is_partial(request):
        return 0
    async with request.app[LINE].database.read() as session:
        return await unseen(session, agent.id or 0)


def is_partial(request: web.Request) -> bool:
    """Whether htmx asked for a part of a page only."""
    return request.headers.get("HX-Request-Type") == "partial"


def render(request: web.Request, template: str, **context: Any) -> str:
    """A template as text, in the language of the request."""
    lang, line = language(request), request.app[LINE]
    session = request.get(SESSION)
    agent = request.get(AGENT)
    context = {
        "request": request,
        "settings": line.settings,
        "agent": agent,
        "csrf_token": session.csrf_token if session else "",
        "lang": lang,
        "dir": direction(lang),
        "languages": LANGUAGES,
        "navigation": _navigation(request),
        "now": line.now(),
        "lost": (),
        "unseen": 0,
        "url": lambda name, query=None, **parts: _url(request, name, query, parts),
        **context,
    }
    return environment(lang, line.settings.engagement.time_zone).get_template(template).render(context)


@lru_cache
def environment(lang: str, zone: str) -> Environment:
    """The templates in one language and time zone."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    catalogue = translations(lang)
    made.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    formats = Formats(lang, zone)
    for name in ("date", "time", "moment", "day", "calendar_day", "local_day", "ago", "duration", "number", "percent"):
        made.filters[name] = getattr(formats, name)
    made.filters["as_time"] = datetime.fromisoformat
    made.filters["iso"] = lambda value: value.astimezone(UTC).isoformat(timespec="seconds")
    made.filters["word"] = lambda value, kind: catalogue.gettext(word(kind, value))
    made.filters["reason"] = lambda text: reason(text, catalogue.gettext)
    made.filters["rule_name"] = lambda name: rule_name(name, catalogue.gettext)
    made.filters["deed"] = lambda text: deed(text, catalogue.gettext)
    made.filters["routed"] = lambda data: routed.why(data, catalogue.gettext)
    made.filters["lost"] = lambda data, name: routed.lost(data, name, catalogue.gettext)
    made.filters["unrouted"] = lambda code: routed.waits(code, catalogue.gettext)
    made.filters["terms"] = lambda points: routed.terms(points, catalogue.gettext)
    made.filters["promised"] = lambda row: promised.sentence(row.kind, row.data, catalogue.gettext, formats)
    made.filters["waits"] = lambda reason: promised.waits(reason, catalogue.gettext)
    made.filters["named"] = lambda message: names(message.text, message.sent_at, formats)
    made.filters["signals"] = lambda text: tags(text, catalogue.gettext)
    made.filters["hue"] = lambda number: f"hue-{int(number) % 6}"
    made.filters["initials"] = initials
    made.filters["file_kind"] = file_kind
    made.filters["is_risky"] = lambda entry: entry.get("content_type") in RISKY
    made.filters["size"] = formats.size
    made.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    made.globals.update(icon=icon, static=static)
    return made


def icon(name: str, label: str = "") -> Markup:
    """A drawing of `templates/icons.svg`; without a label it only decorates."""
    said = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon" {}><use href="#i-{}"></use></svg>').format(said, name)


def static(path: str) -> str:
    """The address of a built file, with a version that changes with its content."""
    file = STATIC / path
    if not file.exists():
        return f"/static/{path}"
    return f"/static/{path}?v={version(path, file.stat().st_mtime_ns)}"


@lru_cache(maxsize=200)
def version(path: str, _changed_ns: int) -> str:
    """A short hash of a built file."""
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]


def file_kind(entry: Mapping[str, Any]) -> str:
    """How a page shows an attachment: by its bytes once we have them, before that by what its sender says."""
    if not entry.get("sha256"):
        return str(entry.get("kind") or "document")
    kind = str(entry.get("content_type"))
    return kind_of(kind) if kind in SHOWN else "document"


def initials(name: str) -> str:
    """The first letters of the first two words of a name."""
    letters = [part[0] for part in name.split() if part[0].isalnum()]
    return "".join(letters[:2]).upper() or "?"


def _url(request: web.Request, name: str, query: dict[str, Any] | None, parts: dict[str, Any]) -> str:
    path = str(request.app.router[name].url_for(**{key: str(value) for key, value in parts.items()}))
    wanted = {key: value for key, value in (query or {}).items() if value not in (None, "")}
    return f"{path}?{urlencode(wanted)}" if wanted else path


def _navigation(request: web.Request) -> list[tuple[str, str, str]]:
    agent = request.get(AGENT)
    if agent is None:
        return []
    there = {resource.canonical for resource in request.app.router.resources()}
    return [(key, path, label) for key, path, label, roles in NAVIGATION if path in there and agent.role in roles]
