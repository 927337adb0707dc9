"""The base of the Facebook, Messenger, Instagram and WhatsApp connectors: their sign-in, webhooks and events.

Written after https://developers.facebook.com/docs/graph-api (webhooks, access tokens); `meta_graph` makes the calls.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator

from connectors import meta_sign_in
from connectors.base import (
    Account,
    AuthExpired,
    BadPayload,
    BadWebhook,
    ChannelConfig,
    Choice,
    Connector,
    Field,
    Ignored,
    InboundMessage,
    Json,
    Quota,
    RawEvent,
    Refused,
    WebhookRequest,
)
from connectors.meta_graph import VERSION, Graph, listed
from connectors.payload import UtcTime, parse, understand

MARK = "socialcrm:"
"""Begins what we put on buttons and messages, to know them when they come back."""
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


def _bytes(header: str) -> bytes:
    """`compare_digest` takes no text beyond ASCII; a forged header may hold anything."""
    return header.encode(errors="surrogatepass")
