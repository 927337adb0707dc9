"""Meta's Graph API: what the Facebook, Messenger, Instagram and WhatsApp connectors share.

Written after https://developers.facebook.com/docs/graph-api (calls, errors, rate limits, webhooks).
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import aiohttp
from pydantic import BaseModel, BeforeValidator
from yarl import URL

from connectors import meta_sign_in
from connectors.base import (
    Account,
    AuthExpired,
    BadPayload,
    BadWebhook,
    ChannelConfig,
    Choice,
    Connector,
    ConnectorError,
    Field,
    File,
    Ignored,
    InboundMessage,
    Json,
    MaybeSent,
    Quota,
    RawEvent,
    Refused,
    TryLater,
    WebhookRequest,
)
from connectors.payload import UtcTime, parse, understand

GRAPH = "https://graph.facebook.com"
VERSION = "v25.0"
FILE_BYTES = 25_000_000
"""Messenger's largest attachment; WhatsApp's documents may be larger and are left there."""
FILE_HOSTS = ("fbcdn.net", "fbsbx.com", "facebook.com", "cdninstagram.com", "instagram.com")
UPLOAD_SECONDS = 180.0
READ_SHARE = 90
"""Per cent of a rate limit that reading may use; the rest is left for answers."""
READ_WAIT = 300.0
USAGE = ("X-App-Usage", "X-Page-Usage", "X-Business-Use-Case-Usage")
LIMIT_WAIT = 60.0
"""Seconds to wait at a limit whose answer names no time."""
MARK = "socialcrm:"
"""Begins what we put on buttons and messages, to know them when they come back."""

SIGNED_OUT = {0, 102, 190}
AT_LIMIT = {4, 17, 32, 341, 613, 130429, 131048, 133016, *range(80000, 80015)}
BUSY = {2, 1200, 131016, 131056, 131057, 133004}
NOBODY_KNOWS = {1, 131000}
OUTSIDE_WINDOW = {2018278, 2018065, 2534022}
"""Subcodes of error 10."""

APP_ID = Field(
    "app_id",
    "App ID",
    help="The number of your Meta app, at the top of its page.",
    help_url="https://developers.facebook.com/apps",
)
APP_SECRET = Field(
    "app_secret",
    "App secret",
    help="In your Meta app: App settings, Basic, App secret, Show. It proves that calls come from Meta.",
    help_url="https://developers.facebook.com/apps",
    is_secret=True,
)
PAGE_TOKEN = Field(
    "access_token",
    "Page access token",
    help="A token of the page itself, best made by a system user so that it does not end.",
    help_url="https://developers.facebook.com/docs/pages-api/getting-started",
    is_secret=True,
)
GRAPH_VERSION = Field(
    "version",
    "Graph API version",
    help="Change it only when Meta retires this version.",
    is_required=False,
    default=VERSION,
)


def _scopes(facts: Mapping[str, Json]) -> set[Json]:
    scopes = facts.get("scopes")
    return set(scopes) if isinstance(scopes, list) else set()


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, BeforeValidator(_text)]
"""Meta writes numbers of things as text, and sometimes as a number."""


class Envelope(BaseModel):
    """One change or message of a webhook's call, with what its entry says of all of them."""

    object: str
    id: Id = ""
    time: UtcTime | None = None
    change: Json = None
    messaging: Json = None
    standby: Json = None
    polled: Json = None
    """What `poll` found; never in a call of Meta's."""
    profile: Json = None
    """What `complete` added: who the sender is."""
    mentioned: Json = None
    """What `complete` added: what a mention says."""


class ChangeOf(BaseModel):
    """A change of a field that the app subscribed to."""

    field: str
    value: Json = None


def split(payload: Json) -> list[Json]:
    """Every change and message of every entry of a call, in order; what cannot be split comes back whole."""
    entries = payload.get("entry") if isinstance(payload, dict) else None
    if not isinstance(entries, list) or not entries:
        return [payload]
    found: list[Json] = []
    for entry in entries:
        head = {"object": payload.get("object")}
        if not isinstance(entry, dict):
            found.append({**head, "entry": entry})
            continue
        head |= {key: entry[key] for key in ("id", "time") if key in entry}
        lists = {"change": entry.get("changes"), "messaging": entry.get("messaging"), "standby": entry.get("standby")}
        inner = [{**head, key: item} for key, items in lists.items() if isinstance(items, list) for item in items]
        found += inner or [{**head, "entry": entry}]
    return found


class MetaConnector(Connector):
    """Base of the four. A subclass says which webhook object and fields it reads and which permissions it needs."""

    webhook_object: ClassVar[str]
    webhook_fields: ClassVar[tuple[str, ...]]
    page_fields: ClassVar[tuple[str, ...]] = ()
    """What the page is subscribed to, where that is not `webhook_fields`."""
    permissions: ClassVar[tuple[str, ...]]
    """Without these nothing works, so the channel is not connected."""
    wishes: ClassVar[tuple[str, ...]] = ()
    """Permissions without which some abilities are refused by Meta."""
    made_secrets: ClassVar[tuple[str, ...]] = ("verify_token",)
    hook_family: ClassVar[str] = "meta"

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self.graph = Graph(config, self.permissions)

    @classmethod
    def is_one_account(cls) -> bool:
        """A page, a number or an account is one channel."""
        return True

    @property
    def is_called(self) -> bool:
        """By webhook, also where old posts are polled besides."""
        return True

    @property
    def account_id(self) -> str:
        """Our number on the platform, kept since the channel was connected."""
        return str(self.config.settings.get("account_id") or "")

    @property
    def quota(self) -> Quota | None:
        """The share of the fullest of the app's and the page's limits, as Meta said with its last answer."""
        return Quota(self.graph.used, 100, unit="percent") if self.graph.used is not None else None

    async def who(self) -> tuple[str, str]:
        """Number and name of the account that the token belongs to."""
        raise NotImplementedError

    async def connect(self) -> Account:
        """Check the token and its permissions, and say who we are. Raises AuthExpired, or Refused with the names of the
        permissions that are missing."""
        facts = await self.facts()
        number, name = await self.who()
        ends = facts.get("expires_at")
        return Account(
            external_id=number,
            name=name,
            token_ends_at=datetime.fromtimestamp(ends, UTC) if isinstance(ends, int) and ends > 0 else None,
            missing_scopes=self.missing(facts),
        )

    async def facts(self) -> Mapping[str, Json]:
        """What Meta says of the token. Raises AuthExpired, or Refused with the names of needed permissions."""
        app_id = str(self.config.settings.get("app_id") or "")
        fields = {"input_token": self.graph.token, "fields": "app_id,is_valid,expires_at,scopes,granular_scopes"}
        answer = await self.graph.get("debug_token", fields, token=f"{app_id}|{self.graph.app_secret}")
        data = answer.get("data")
        facts: Mapping[str, Json] = data if isinstance(data, dict) else {}
        if not facts.get("is_valid"):
            raise AuthExpired("Meta says that this access token is not valid. Make a new one.")
        if app_id and str(facts.get("app_id", app_id)) != app_id:
            raise Refused("The access token belongs to another app than the App ID.")
        if missing := [name for name in self.permissions if name not in _scopes(facts)]:
            raise Refused(f"The access token lacks these permissions: {', '.join(missing)}.")
        return facts

    def missing(self, facts: Mapping[str, Json]) -> tuple[str, ...]:
        """Permissions that were wished for and not given."""
        return tuple(scope for scope in self.wishes if scope not in _scopes(facts))

    def authorize_url(self, redirect_url: str, state: str, challenge: str) -> str:
        """Facebook's page that asks which pages our app may act for."""
        permissions = (*self.permissions, *self.wishes)
        return meta_sign_in.authorize_url(self.config, self.graph.version, permissions, redirect_url, state, challenge)

    async def exchange(self, code: str, verifier: str, redirect_url: str) -> tuple[Choice, ...]:
        """The accounts that were chosen on Facebook's page. Raises Refused, as `connect` does."""
        self.graph.token = await meta_sign_in.exchange(self.graph, code, verifier, redirect_url)
        facts = await self.facts()
        return tuple([choice async for choice in self.choices(facts)])

    async def choices(self, facts: Mapping[str, Json]) -> AsyncIterator[Choice]:
        """Each page of the person who signed in, with a token of its own, as an account."""
        async for page in meta_sign_in.pages(self.graph):
            found = self.account_on(page)
            token = page.get("access_token")
            if found and isinstance(token, str) and token:
                yield Choice(Account(*found, missing_scopes=self.missing(facts)), {"access_token": token})

    def account_on(self, page: Mapping[str, Json]) -> tuple[str, str] | None:
        """Number and name of the account that a page is, or is linked to."""
        return str(page.get("id") or ""), str(page.get("name") or self.label)

    async def set_webhook(self, url: str | None, secret: str) -> None:
        """Subscribe the page to our app, or stop. The address itself is set once for the whole app, on its page. Fields
        of another channel of the same page stay."""
        app_id = str(self.config.settings.get("app_id") or "")
        answer = await self.graph.get("me/subscribed_apps", {})
        apps = [app for app in listed(answer) if isinstance(app, dict) and str(app.get("id")) == app_id]
        kept = {name for app in apps for name in app.get("subscribed_fields") or () if isinstance(name, str)}
        ours = set(self.page_fields or self.webhook_fields)
        kept = kept | ours if url else kept - ours
        if kept:
            await self.graph.post("me/subscribed_apps", {"subscribed_fields": sorted(kept)})
        elif apps:
            await self.graph.delete("me/subscribed_apps")

    def instructions(self, public_url: str, key: str) -> tuple[tuple[str, str], ...]:
        """What to copy to the app's Webhooks page."""
        return (
            ("Webhook address", f"{public_url}/hooks/{key}"),
            ("Verify token", self.config.credentials.get("verify_token", "")),
            ("Webhook object", self.webhook_object),
            ("Webhook fields", ", ".join(self.webhook_fields)),
        )

    def challenge(self, request: WebhookRequest) -> str:
        """Echo `hub.challenge` to whoever knows our verify token."""
        expected = self.config.credentials.get("verify_token", "")
        given = request.query.get("hub.verify_token", "")
        is_asked = request.query.get("hub.mode") == "subscribe" and bool(expected)
        if not is_asked or not hmac.compare_digest(_bytes(given), _bytes(expected)):
            raise BadWebhook("The verify token is not the one that this channel shows.")
        return request.query.get("hub.challenge", "")

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """Every change and message of every entry. X-Hub-Signature-256 signs the body as it came; it has no time."""
        secret = self.config.credentials.get("app_secret", "").strip()
        given = request.headers.get("x-hub-signature-256", "")
        expected = "sha256=" + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
        if not secret or not hmac.compare_digest(_bytes(given), expected.encode()):
            raise BadWebhook("X-Hub-Signature-256 does not fit the app secret and the body.")
        return [RawEvent(piece) for piece in self.pieces(parse(request.body))]

    def pieces(self, payload: Json) -> list[Json]:
        """A call's payload, one piece an event."""
        return split(payload)

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """One change or message in our words; those of other accounts of the app are ignored with that reason."""
        event = understand(Envelope, raw.payload)
        if event.object != self.webhook_object:
            raise Ignored(
                f"An event of Meta's object {event.object[:40]!r}; this channel reads {self.webhook_object!r}."
            )
        if event.standby is not None:
            raise Ignored("Another app answers this conversation now; ours only listens.")
        account = self.account_of(event)
        if self.account_id and account and account != self.account_id:
            raise Ignored(f"An event of another account of the same app: {account[:40]}.")
        if event.polled is not None:
            return self.read_polled(event)
        if event.messaging is not None:
            return self.read_messaging(event)
        if event.change is not None:
            return self.read_change(event, understand(ChangeOf, event.change))
        raise BadPayload("The entry has neither changes nor messages.")

    def account_of(self, event: Envelope) -> str:
        """The account that an event is about."""
        return event.id

    def read_change(self, event: Envelope, change: ChangeOf) -> list[InboundMessage]:
        """A change of a subscribed field."""
        raise Ignored(f"A change of {change.field[:40]!r}, which this channel does not read.")

    def read_messaging(self, event: Envelope) -> list[InboundMessage]:
        """A private message or something about one."""
        raise Ignored("A private message; connect Messenger or Instagram to read those.")

    def read_polled(self, event: Envelope) -> list[InboundMessage]:
        """What `poll` found."""
        raise Ignored("This channel is not polled.")

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        await self.graph.close()


class Graph:
    """Calls of one account. `permissions` are named where Meta says that one is missing."""

    def __init__(self, config: ChannelConfig, permissions: tuple[str, ...] = ()) -> None:
        self.config = config
        self.permissions = permissions
        self.token = config.credentials.get("access_token", "").strip()
        self.app_secret = config.credentials.get("app_secret", "").strip()
        self._session: aiohttp.ClientSession | None = None
        self._reads_after = 0.0
        self._calls_after = 0.0
        self.used: float | None = None
        """Per cent of the fullest rate limit; None where Meta has not said."""

    async def get(self, path: str, fields: Mapping[str, str], token: str | None = None) -> dict[str, Json]:
        """Read an object or an edge."""
        return await self._call("GET", path, fields, None, token=token)

    async def post(self, path: str, body: Json, *, is_sending: bool = False) -> dict[str, Json]:
        """Change something; `is_sending` where doing it twice would be seen."""
        return await self._call("POST", path, {}, body, is_sending=is_sending)

    async def upload(
        self, path: str, fields: Mapping[str, str], part: str, file: File, *, is_sending: bool = False
    ) -> dict[str, Json]:
        """A form of `fields` with a file as its `part`."""
        form = aiohttp.FormData(dict(fields))
        form.add_field(part, await file.read(), filename=file.name or "file", content_type=file.content_type)
        return await self._call("POST", path, {}, None, is_sending=is_sending, form=form)

    async def delete(self, path: str) -> dict[str, Json]:
        """Delete something."""
        return await self._call("DELETE", path, {}, None)

    async def token_for(self, fields: Mapping[str, str]) -> dict[str, Json]:
        """A token in place of a code or of another token, which no call of ours carries yet."""
        app = {"client_id": str(self.config.settings.get("app_id") or ""), "client_secret": self.app_secret}
        return await self._answer("GET", "oauth/access_token", {**app, **fields}, is_sending=False)

    async def pages(self, path: str, fields: Mapping[str, str], most: int) -> AsyncIterator[dict[str, Json]]:
        """At most `most` pages of an edge, one after the other."""
        after: str | None = None
        for _ in range(most):
            answer = await self.get(path, {**fields, "after": after} if after else fields)
            yield answer
            after = next_page(answer)
            if after is None:
                return

    async def download(self, url: str, *, is_signed: bool = False) -> bytes:
        """The bytes of a file on Meta's servers; an address in a message must not make us call other machines."""
        here = URL(self.config.api_url) if self.config.api_url else None
        for _ in range(4):
            try:
                asked = URL(url)
            except ValueError:
                asked = URL()
            host = asked.host or ""
            is_metas = asked.scheme == "https" and any(host == h or host.endswith(f".{h}") for h in FILE_HOSTS)
            if not is_metas and not (here and asked.absolute and asked.origin() == here.origin()):
                raise Refused("The file is not on a server of Meta's.")
            headers = {"Authorization": f"Bearer {self.token}"} if is_signed else {}
            async with self._asked("GET", asked, is_sending=False, headers=headers, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = str(asked.join(URL(answer.headers.get("Location", ""))))
                    continue
                if answer.status in (403, 404, 410):
                    raise Refused("Meta no longer has this file: its address has ended.")
                if answer.status != 200:
                    raise TryLater(f"Meta answered {answer.status} when asked for a file.")
                content = await answer.content.read(FILE_BYTES + 1)
                while len(content) <= FILE_BYTES and (more := await answer.content.read(FILE_BYTES + 1 - len(content))):
                    content += more
            if len(content) > FILE_BYTES:
                raise Refused("The file is larger than 25 MB.")
            return content
        raise Refused("The file's address leads in circles.")

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _call(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str],
        body: Json,
        *,
        is_sending: bool = False,
        token: str | None = None,
        form: aiohttp.FormData | None = None,
    ) -> dict[str, Json]:
        token = token or self.token
        if not token:
            raise AuthExpired("The access token is missing.")
        self._wait_our_turn(is_read=method == "GET")
        query = dict(fields)
        if self.app_secret:
            query["appsecret_proof"] = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        headers = {"Authorization": f"Bearer {token}"}
        sent = {"data": form, "timeout": aiohttp.ClientTimeout(total=UPLOAD_SECONDS)} if form else {"json": body}
        return await self._answer(method, path, query, is_sending, headers=headers, **sent)

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str], is_sending: bool, **sent: Any
    ) -> dict[str, Json]:
        url = URL(f"{self.config.api_url or GRAPH}".rstrip("/") + f"/{self.version}/{path}").update_query(query)
        async with self._asked(method, url, is_sending=is_sending, **sent) as answer:
            content = parse(await answer.read())
            self._note_usage(answer.headers)
            error = content.get("error") if isinstance(content, dict) else None
            if answer.status < 400 and error is None and isinstance(content, dict):
                return content
            raise self._translate(answer.status, error, is_sending)

    @asynccontextmanager
    async def _asked(
        self, method: str, url: URL, *, is_sending: bool, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            try:
                wait = float(self.config.settings.get("request_timeout", 30))
            except (TypeError, ValueError):
                raise Refused("The setting request_timeout is not a number of seconds.") from None
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=wait, sock_connect=min(wait / 2, 10))
            )
        try:
            async with self._session.request(method, url, **more) as answer:
                yield answer
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise TryLater(f"Meta cannot be reached: {type(error).__name__}.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            words = f"{type(error).__name__}."
            if is_sending:
                raise MaybeSent(f"Meta did not say whether it took the message: {words}") from error
            raise TryLater(f"Meta did not answer: {words}") from error

    @property
    def version(self) -> str:
        """Of the Graph API. Raises Refused."""
        version = str(self.config.settings.get("version") or VERSION).strip()
        if not re.fullmatch(r"v\d{1,3}\.\d{1,2}", version):
            raise Refused("The Graph API version is not of the form v25.0.")
        return version

    def _wait_our_turn(self, *, is_read: bool) -> None:
        """Raise TryLater, without a call, while Meta said that calls would be refused."""
        until = max(self._calls_after, self._reads_after if is_read else 0.0)
        if (left := until - time.monotonic()) > 0:
            raise TryLater("The rate limit of the Meta app is nearly used up.", left)

    def _note_usage(self, headers: Mapping[str, str]) -> None:
        """Graph API, Rate limits: per cent used in the last hour, and minutes until calls are taken again."""
        used, minutes = usage(headers)
        now = time.monotonic()
        if any(name in headers for name in USAGE):
            self.used = used
        if minutes > 0:
            self._calls_after = now + 60 * minutes
        if used >= READ_SHARE:
            self._reads_after = now + READ_WAIT

    def _translate(self, status: int, error: Json, is_sending: bool) -> ConnectorError:
        """Meta's error in ours; https://developers.facebook.com/docs/graph-api/guides/error-handling."""
        facts: dict[str, Json] = error if isinstance(error, dict) else {}
        code, subcode = _number(facts.get("code")), _number(facts.get("error_subcode"))
        words = self._words(facts) or f"Meta answered {status} without words."
        if code in SIGNED_OUT or (code is None and status == 401):
            return AuthExpired(f"Meta no longer accepts the access token: {words}")
        if code in AT_LIMIT or (code is None and status == 429):
            left = self._calls_after - time.monotonic()
            return TryLater(words, float(round(left)) if left > 0 else LIMIT_WAIT)
        if subcode in OUTSIDE_WINDOW or code == 131047:
            return Refused(f"Too long after the customer's last message: {words}")
        if code == 10 or code == 3 or (code is not None and 200 <= code < 300):
            return Refused(f"{words} Permissions that this channel needs: {', '.join(self.permissions)}.")
        if code in BUSY:
            return TryLater(words)
        if code in NOBODY_KNOWS or (code is None and (status >= 500 or status < 400)):
            return MaybeSent(words) if is_sending else TryLater(words)
        return Refused(words)

    def _words(self, facts: Mapping[str, Json]) -> str:
        data = facts.get("error_data")
        details = data.get("details") if isinstance(data, dict) else None
        said = [facts.get("message"), facts.get("error_user_msg") or details]
        words = " ".join(str(each) for each in said if isinstance(each, str) and each)
        # "Malformed access token …" quotes the token.
        for secret in filter(None, (value.strip() for value in self.config.credentials.values())):
            words = words.replace(secret, "…")
        return " ".join(words.split())[:300]


def usage(headers: Mapping[str, str]) -> tuple[float, float]:
    """The highest share used, in per cent, and the minutes until calls are taken again, of all usage headers."""
    used, minutes = 0.0, 0.0
    for name in USAGE:
        for facts in _facts(parse(headers.get(name, "").encode())):
            used = max([used, *(_amount(facts.get(k)) for k in ("call_count", "total_cputime", "total_time"))])
            minutes = max(minutes, _amount(facts.get("estimated_time_to_regain_access")))
    return used, minutes


def _facts(value: Json) -> list[dict[str, Json]]:
    """The innermost objects: X-App-Usage is one, the business header is a list of them for each account."""
    if not isinstance(value, dict):
        return []
    inner = [each for group in value.values() if isinstance(group, list) for each in group if isinstance(each, dict)]
    return inner or [value]


def _amount(value: Json) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _bytes(header: str) -> bytes:
    """`compare_digest` takes no text beyond ASCII; a forged header may hold anything."""
    return header.encode(errors="surrogatepass")


def listed(answer: Mapping[str, Json]) -> list[Json]:
    """The items of an edge's answer."""
    data = answer.get("data")
    return data if isinstance(data, list) else []


def next_page(answer: Mapping[str, Json]) -> str | None:
    """The cursor after an edge's answer, where there is more."""
    paging = answer.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) else None


def number_of(answer: Mapping[str, Json], key: str) -> str | None:
    """The id of what was made."""
    found = answer.get(key)
    return found if isinstance(found, str) and found else None


def json_field(value: Json) -> str:
    """A value as Meta takes it inside a query."""
    return json.dumps(value, separators=(",", ":"))
