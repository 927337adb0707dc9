"""Signing in on a platform's own page, instead of pasting tokens: there, back, and which accounts are connected.

OAuth 2.0 with PKCE (RFC 6749, RFC 7636, RFC 9700): the state is random, taken once and only by the session that began;
the verifier and the tokens stay on the server, encrypted.
"""

from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from connectors.base import ChannelConfig, Connector, SignIn
from connectors.registry import CONNECTORS, connector_class
from socialcrm.domain.channel import Channel
from socialcrm.domain.people import Role
from socialcrm.engine.line import Line
from socialcrm.web import attempts, connecting
from socialcrm.web.attempts import Attempt, Found
from socialcrm.web.connecting import ACCOUNT, ANOTHER, Form, NotConnected
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import LINE, SESSION
from socialcrm.web.page import page
from socialcrm.web.words import N_

routes = web.RouteTableDef()
BACK = "/channels/sign-in/back"
NEW, AGAIN = r"/channels/new/{connector}/sign-in", r"/channels/{id:\d{1,18}}/sign-in"
CHOICE = r"/channels/sign-in/{number:\d{1,18}}"
WORDS = 300


@routes.get(NEW, name="sign_in_new")
@routes.get(AGAIN, name="sign_in_again")
@needs(Role.ADMIN)
async def form(request: web.Request) -> web.Response:
    """What has to be filled in first: which app asks. What another channel of the same app has is filled in."""
    name, known, sign_in, channel = await _asked_for(request)
    kept = await _kept(request.app[LINE], name, known, sign_in, channel)
    defaults = {field.key: field.default for field in sign_in.fields}
    return await _form(request, name, sign_in, channel, Form({**defaults, **kept.values}))


@routes.post(NEW)
@routes.post(AGAIN)
@needs(Role.ADMIN)
async def leave(request: web.Request) -> web.Response:
    """Keep what was filled in and lead to the platform's page."""
    name, known, sign_in, channel = await _asked_for(request)
    line = request.app[LINE]
    sent = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    kept = await _kept(line, name, known, sign_in, channel)
    verifier = attempts.new_verifier()
    try:
        values = connecting.filled_in(sign_in.fields, sent, kept.secrets_for(sent))
        settings, credentials = connecting.split(sign_in.fields, values)
        number = channel.id if channel else None
        attempt = Attempt(name, settings, credentials, sent.get("name", "")[:200], number, verifier)
        async with connecting.asked(known, _config(attempt, channel)) as connector:
            state = await attempts.begin(line, request[SESSION].id or 0, attempt)
            url = connector.authorize_url(_back(line), state, attempts.challenge_of(verifier))
    except NotConnected as problem:
        return await _form(request, name, sign_in, channel, problem.form, status=400)
    # A page and not a redirect: browsers hold the answer to a form, and all that it redirects to, against form-action.
    answer = await page(request, "channels/leave.html", nav="channels", sign_in=sign_in, there=url)
    answer.headers["Refresh"] = f"0;url={url}"
    return answer


@routes.get(BACK, name="sign_in_back")
@needs(Role.ADMIN)
async def come_back(request: web.Request) -> web.StreamResponse:
    """The platform sends the admin back, with a code or with an error."""
    line, session_id = request.app[LINE], request[SESSION].id or 0
    attempt = await attempts.come_back(line, session_id, request.query.get("state", ""))
    if attempt is None:
        raise _gone(request)
    known = connector_class(attempt.connector)
    channel = await _channel(line, attempt.channel_id) if attempt.channel_id else None
    try:
        found = await _exchange(request, attempt, known, channel)
        if channel is not None:
            await _reconnect(line, attempt, known, channel, found)
            raise web.HTTPSeeOther(f"/channels/{channel.id}?reconnected=yes")
        if len(found) == 1 and not found[0].missing_scopes:
            made = await _connect(line, attempt, known, found[0])
            raise web.HTTPSeeOther(f"/channels/{made.id}?new=yes")
    except NotConnected as problem:
        assert known.sign_in is not None
        failed = Form(attempt.settings, problem.form.errors)
        return await _form(request, attempt.connector, known.sign_in, channel, failed, status=400)
    number = await attempts.keep(line, session_id, replace(attempt, verifier="", found=found))
    raise web.HTTPSeeOther(f"/channels/sign-in/{number}")


@routes.get(CHOICE, name="sign_in_choice")
@needs(Role.ADMIN)
async def choices(request: web.Request) -> web.Response:
    """Which of the accounts to connect."""
    attempt = await attempts.look(request.app[LINE], request[SESSION].id or 0, int(request.match_info["number"]))
    if attempt is None:
        raise _gone(request)
    return await _choices(request, attempt, int(request.match_info["number"]))


@routes.post(CHOICE)
@needs(Role.ADMIN)
async def choose(request: web.Request) -> web.StreamResponse:
    """Connect each account that was chosen; those that are refused stay to choose from, with the reason."""
    line, session_id = request.app[LINE], request[SESSION].id or 0
    wanted = set((await request.post()).getall("account", []))
    attempt = await attempts.take(line, session_id, int(request.match_info["number"]))
    if attempt is None:
        raise _gone(request)
    known = connector_class(attempt.connector)
    made: list[Channel] = []
    errors: dict[str, str] = {} if wanted else {"": N_("Choose at least one account.")}
    for account in attempt.found:
        if account.external_id in wanted:
            try:
                made.append(await _connect(line, attempt, known, account))
            except NotConnected as problem:
                errors[account.external_id] = problem.form.errors.get("", "")
    if errors:
        return await _choices(request, attempt, await attempts.keep(line, session_id, attempt), errors, status=400)
    raise web.HTTPSeeOther(f"/channels/{made[0].id}?new=yes" if len(made) == 1 else "/channels")


async def _exchange(
    request: web.Request, attempt: Attempt, known: type[Connector], channel: Channel | None
) -> tuple[Found, ...]:
    """The accounts, from what the platform sent the admin back with. Raises NotConnected."""
    query = request.query
    if query.get("error") == "access_denied":
        raise NotConnected(Form(errors={"": N_("You did not give the permission, so nothing was connected.")}))
    if problem := query.get("error_description") or query.get("error") or query.get("error_message"):
        raise NotConnected(Form(errors={"": f"{_at(known)}: {' '.join(problem.split())[:WORDS]}"}))
    if not query.get("code"):
        raise NotConnected(Form(errors={"": N_("The platform sent no code back. Try again.")}))
    async with connecting.asked(known, _config(attempt, channel)) as connector:
        found = await connector.exchange(query["code"], attempt.verifier, _back(request.app[LINE]))
    if not found:
        raise NotConnected(Form(errors={"": N_("The sign-in opened no account to us that could be connected.")}))
    return tuple(Found.of(each) for each in found)


async def _connect(line: Line, attempt: Attempt, known: type[Connector], account: Found) -> Channel:
    settings, credentials = {**attempt.settings, **account.settings}, {**attempt.credentials, **account.credentials}
    called = attempt.called if len(attempt.found) < 2 else ""
    return await connecting.keep(line, attempt.connector, known, settings, credentials, called)


async def _reconnect(
    line: Line, attempt: Attempt, known: type[Connector], channel: Channel, found: tuple[Found, ...]
) -> None:
    account = next((each for each in found if each.external_id == channel.settings.get(ACCOUNT)), None)
    if account is None:
        raise NotConnected(Form(errors={"": ANOTHER}))
    settings, credentials = {**attempt.settings, **account.settings}, {**attempt.credentials, **account.credentials}
    await connecting.keep_again(line, channel, known, settings, credentials, attempt.called, is_whole=True)


class _Kept:
    """What another channel of the same app has, or the channel itself."""

    def __init__(self, sign_in: SignIn, settings: Mapping[str, object], credentials: Mapping[str, str]) -> None:
        public = [field.key for field in sign_in.fields if not field.is_secret]
        self.app = public[0]
        self.values = {key: str(settings[key]) for key in public if settings.get(key)}
        self.secrets = {field.key: credentials.get(field.key, "") for field in sign_in.fields if field.is_secret}
        self.is_whole = self.app in self.values and all(
            self.secrets[field.key] for field in sign_in.fields if field.is_secret and field.is_required
        )

    def secrets_for(self, sent: Mapping[str, str]) -> Mapping[str, str]:
        """The secrets, for the app that they belong to and no other."""
        return self.secrets if sent.get(self.app, "").strip() == self.values.get(self.app) else {}


async def _kept(line: Line, name: str, known: type[Connector], sign_in: SignIn, channel: Channel | None) -> _Kept:
    family = [each for each in CONNECTORS if connector_class(each).hook_family == known.hook_family != ""] or [name]
    query = select(Channel).where(col(Channel.connector).in_(family)).order_by(col(Channel.changed_at).desc())
    async with line.database.read() as session:
        others = (await session.execute(query)).scalars().all()
    for each in (*((channel,) if channel else ()), *others):
        kept = _Kept(sign_in, each.settings, connecting.kept_credentials(line, each))
        if kept.is_whole:
            return kept if channel and each.id == channel.id else _app_only(kept, sign_in)
    return _Kept(sign_in, channel.settings if channel else {}, {})


def _app_only(kept: _Kept, sign_in: SignIn) -> _Kept:
    """Of another channel only the app is taken over, not how that channel is set."""
    return _Kept(sign_in, {kept.app: kept.values[kept.app]}, kept.secrets)


def _config(attempt: Attempt, channel: Channel | None) -> ChannelConfig:
    return ChannelConfig(attempt.settings, attempt.credentials, channel.settings.get("api_url") if channel else None)


def _at(known: type[Connector]) -> str:
    return known.sign_in.at if known.sign_in else known.label


def _back(line: Line) -> str:
    return f"{line.settings.public_url}{BACK}"


async def _asked_for(request: web.Request) -> tuple[str, type[Connector], SignIn, Channel | None]:
    """The kind of channel, and the channel where one is connected again."""
    channel = None
    if number := request.match_info.get("id"):
        channel = await _channel(request.app[LINE], int(number))
    name = channel.connector if channel else request.match_info["connector"]
    known = connector_class(name) if name in CONNECTORS else None
    if known is None or known.sign_in is None or not known.has_account:
        raise web.HTTPNotFound
    return name, known, known.sign_in, channel


async def _channel(line: Line, number: int) -> Channel:
    async with line.database.read() as session:
        channel = await session.get(Channel, number)
    if channel is None:
        raise web.HTTPNotFound
    return channel


def _gone(request: web.Request) -> web.HTTPException:
    sentence = N_(
        "This sign-in is not yours, was used already, or is older than ten minutes. Begin again on the Channels page."
    )
    return web.HTTPBadRequest(text=say(request, sentence))


async def _form(
    request: web.Request, name: str, sign_in: SignIn, channel: Channel | None, form: Form, status: int = 200
) -> web.Response:
    line = request.app[LINE]
    kept = await _kept(line, name, connector_class(name), sign_in, channel)
    return await page(
        request,
        "channels/sign_in.html",
        status,
        nav="channels",
        said=translations(language(request)).gettext,
        name=name,
        known=connector_class(name),
        sign_in=sign_in,
        channel=channel,
        form=form,
        kept=[key for key, value in kept.secrets.items() if value],
        back=_back(line),
        is_reachable=line.settings.public_url.startswith(("https://", "http://localhost", "http://127.0.0.1")),
    )


async def _choices(
    request: web.Request,
    attempt: Attempt,
    number: int,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> web.Response:
    return await page(
        request,
        "channels/choose.html",
        status,
        nav="channels",
        said=translations(language(request)).gettext,
        attempt=attempt,
        known=connector_class(attempt.connector),
        number=number,
        connected=await connecting.connected(request.app[LINE], attempt.connector),
        errors=errors or {},
    )
