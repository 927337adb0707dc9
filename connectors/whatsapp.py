"""WhatsApp through Meta's Cloud API: one business number.

Written after https://developers.facebook.com/docs/whatsapp/cloud-api (messages, webhooks, templates, error codes).
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from connectors.base import (
    Account,
    Attachment,
    BadPayload,
    Choice,
    Field,
    Ignored,
    InboundMessage,
    Json,
    Limits,
    OutboundMessage,
    Refused,
    Sent,
    SignIn,
    Window,
)
from connectors.meta import APP_ID, APP_SECRET, GRAPH_VERSION, MARK, ChangeOf, Envelope, MetaConnector, split
from connectors.meta_graph import FILE_BYTES, listed
from connectors.meta_sign_in import CONFIGURATION, facebook_sign_in
from connectors.payload import understand
from connectors.whatsapp_events import Contact, Value, read_echo, read_message, read_status, things

WINDOW_HOURS = 24.0
NUMBER_PAGES = 10
BUTTONS, ROWS = 3, 10
BUTTON_TITLE, ROW_TITLE, ROW_TEXT = 20, 24, 72
BODY_BESIDE_BUTTONS = 1024
CAPTION = 1024
MEDIA = {"image/jpeg": 5_000_000, "image/png": 5_000_000, "video/mp4": 16_000_000, "video/3gpp": 16_000_000}
MEDIA |= dict.fromkeys(("audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", "audio/ogg"), 16_000_000)
MEDIA |= dict.fromkeys(
    (
        "text/plain",
        "text/csv",
        "application/pdf",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    100_000_000,
)
"""https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media#supported-media-types."""
LIST_LABEL = "☰"
"""On the button that opens a list: a sign, for we do not know the customer's language here."""
TEMPLATE = Field(
    "template",
    "Template for late answers",
    help="An approved template with one variable, {{1}}, for the answer. Answers later than 24 hours after"
    " the customer's last message go out in it. Empty: they are refused.",
    is_required=False,
)
TEMPLATE_LANGUAGE = Field(
    "template_language", "Language of the template", help="As in WhatsApp: fr, ar, en_US.", default="fr"
)


class WhatsAppConnector(MetaConnector):
    """One number of a WhatsApp Business account; `account_id` is its phone number ID."""

    name: ClassVar[str] = "whatsapp"
    label: ClassVar[str] = "WhatsApp"
    about: ClassVar[str] = "Messages to your WhatsApp Business number."
    limits: ClassVar[Limits] = Limits(
        text_length=4096, buttons=ROWS, window_hours=WINDOW_HOURS, body_bytes=3_500_000, media=MEDIA, files=10
    )
    fields: ClassVar[tuple[Field, ...]] = (
        APP_ID,
        APP_SECRET,
        Field(
            "access_token",
            "System user's access token",
            help="In Meta's Business settings: Users, System users, Generate token, with both WhatsApp permissions.",
            help_url="https://developers.facebook.com/docs/whatsapp/business-management-api/get-started",
            is_secret=True,
        ),
        Field(
            "phone_number_id",
            "Phone number ID",
            help="In your Meta app: WhatsApp, API setup. It is not the phone number itself.",
            help_url="https://developers.facebook.com/docs/whatsapp/cloud-api/get-started",
        ),
        Field(
            "business_account_id",
            "WhatsApp Business account ID",
            help="On the same page, below the phone number ID.",
        ),
        TEMPLATE,
        TEMPLATE_LANGUAGE,
        GRAPH_VERSION,
    )
    sign_in: ClassVar[SignIn | None] = facebook_sign_in(
        APP_ID, APP_SECRET, CONFIGURATION, TEMPLATE, TEMPLATE_LANGUAGE, GRAPH_VERSION
    )
    webhook_object: ClassVar[str] = "whatsapp_business_account"
    webhook_fields: ClassVar[tuple[str, ...]] = ("messages",)
    permissions: ClassVar[tuple[str, ...]] = ("whatsapp_business_messaging", "whatsapp_business_management")

    @property
    def account_id(self) -> str:
        """The number that we answer from."""
        return self._setting("phone_number_id")

    def account_of(self, event: Envelope) -> str:
        """The number that an event is about: an entry names only the business account, which may have several."""
        value = event.change.get("value") if isinstance(event.change, dict) else None
        metadata = value.get("metadata") if isinstance(value, dict) else None
        return str(metadata.get("phone_number_id") or "") if isinstance(metadata, dict) else ""

    async def who(self) -> tuple[str, str]:
        """The number, with its verified name."""
        number = await self.graph.get(self._number(), {"fields": "display_phone_number,verified_name"})
        shown = str(number.get("display_phone_number") or self._number())
        verified = str(number.get("verified_name") or "")
        return self._number(), f"{verified} ({shown})" if verified else shown

    async def choices(self, facts: Mapping[str, Json]) -> AsyncIterator[Choice]:
        """Each number of the business accounts that were chosen in the dialog."""
        scopes = facts.get("granular_scopes")
        for scope in scopes if isinstance(scopes, list) else []:
            if isinstance(scope, dict) and scope.get("scope") == "whatsapp_business_management":
                for business in scope.get("target_ids") or []:
                    async for choice in self._numbers(str(business), self.missing(facts)):
                        yield choice

    async def _numbers(self, business: str, missing: tuple[str, ...]) -> AsyncIterator[Choice]:
        fields = {"fields": "id,display_phone_number,verified_name"}
        async for answer in self.graph.pages(f"{_digits(business)}/phone_numbers", fields, NUMBER_PAGES):
            for number in (each for each in listed(answer) if isinstance(each, dict) and each.get("id")):
                name = " ".join(str(number.get(key) or "") for key in ("verified_name", "display_phone_number"))
                settings = {"phone_number_id": str(number["id"]), "business_account_id": business}
                account = Account(str(number["id"]), name.strip() or self.label, missing_scopes=missing)
                yield Choice(account, {"access_token": self.graph.token}, settings)

    async def set_webhook(self, url: str | None, secret: str) -> None:
        """Have Meta call `url` for this number only, whatever address the app has; or stop that."""
        token = self.config.credentials.get("verify_token", "")
        override = {"override_callback_uri": url, "verify_token": token} if url else {"override_callback_uri": ""}
        if url:
            await self.graph.post(f"{_digits(self._setting('business_account_id'))}/subscribed_apps", {})
        await self.graph.post(self._number(), {"webhook_configuration": override})

    def pieces(self, payload: Json) -> list[Json]:
        """Every message, status and error of every change, each with what its change says of all of them."""
        return [piece for change in split(payload) for piece in things(change)]

    def read_change(self, event: Envelope, change: ChangeOf) -> list[InboundMessage]:
        """A message, a message that we sent with the phone, or what became of one of ours."""
        if change.field not in ("messages", "smb_message_echoes"):
            return super().read_change(event, change)
        value = understand(Value, change.value)
        contact = value.contacts[0] if value.contacts else Contact()
        for message in value.messages:
            return [read_message(message, contact)]
        for echo in value.message_echoes:
            return [read_echo(echo, value.metadata.phone_number_id)]
        for status in value.statuses:
            return [read_status(status, value.metadata.phone_number_id)]
        for error in value.errors:
            raise Ignored(f"WhatsApp tells of a trouble: {error}")
        raise BadPayload("change.value: neither messages nor statuses.")

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """A text, with reply buttons or a list under it, or a file with a text below it; in a template when the 24
        hours are over."""
        body = {"messaging_product": "whatsapp", "recipient_type": "individual", **_to(message.recipient)}
        heard = message.last_inbound_at
        if heard and datetime.now(UTC) - heard > timedelta(hours=WINDOW_HOURS):
            content = self._template(message)
        elif message.attachments:
            content = await self._file(message)
        elif message.buttons:
            content = _interactive(message)
        else:
            content = {"type": "text", "text": {"body": message.text, "preview_url": False}}
        if message.reply_to:
            content["context"] = {"message_id": message.reply_to}
        made = await self.graph.post(f"{self._number()}/messages", {**body, **content}, is_sending=True)
        messages = made.get("messages")
        first = messages[0] if isinstance(messages, list) and messages else None
        number = first.get("id") if isinstance(first, dict) else None
        return Sent(external_id=number if isinstance(number, str) else None)

    def window(self, heard_at: datetime) -> Window | None:
        """24 hours, and the channel's template afterwards."""
        return Window(heard_at + timedelta(hours=WINDOW_HOURS), has_template=bool(self._setting("template")))

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a file; WhatsApp keeps it for 30 days."""
        facts = await self.graph.get(_digits(attachment.external_id), {"phone_number_id": self._number()})
        size, url = facts.get("file_size"), facts.get("url")
        if isinstance(size, int | str) and str(size).isdigit() and int(size) > FILE_BYTES:
            raise Refused("The file is larger than 25 MB.")
        if not isinstance(url, str):
            raise Refused("WhatsApp no longer has this file.")
        return await self.graph.download(url, is_signed=True)

    @classmethod
    def in_pieces(cls, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """A file with the text below it, where WhatsApp has room for one there; else the text, then each file."""
        files = message.attachments
        is_whole = len(files) == 1 and files[0].kind != "audio" and len(message.text) <= CAPTION
        return (message,) if is_whole or not files else message.pieces()

    async def _file(self, message: OutboundMessage) -> dict[str, Json]:
        """A file that WhatsApp has now, with the text below it. Nothing is sent by uploading it."""
        [file] = message.attachments
        fields = {"messaging_product": "whatsapp", "type": file.content_type}
        made = await self.graph.upload(f"{self._number()}/media", fields, "file", file)
        content: dict[str, Json] = {"id": made.get("id")}
        if message.text:
            content["caption"] = message.text
        if file.kind == "document" and file.name:
            content["filename"] = file.name
        return {"type": file.kind, file.kind: content}

    def _template(self, message: OutboundMessage) -> dict[str, Json]:
        name = self._setting("template")
        if not name:
            raise Refused(
                "WhatsApp takes free texts only in the 24 hours after the customer's last message, and this channel has"
                " no template for later ones."
            )
        if message.attachments:
            raise Refused("After 24 hours WhatsApp takes no files, only the template.")
        if message.buttons:
            raise Refused("After 24 hours WhatsApp takes no buttons of ours, only the template.")
        # Parameters take no line ends, tabs or more than four spaces together.
        parameter = {"type": "text", "text": " ".join(message.text.split())}
        return {
            "type": "template",
            "template": {
                "name": name,
                "language": {"code": self._setting("template_language") or "fr"},
                "components": [{"type": "body", "parameters": [parameter]}],
            },
        }

    def _setting(self, key: str) -> str:
        return str(self.config.settings.get(key) or "").strip()

    def _number(self) -> str:
        return _digits(self._setting("phone_number_id"))


def _to(recipient: str) -> dict[str, str]:
    """A phone number, or the business-scoped id of somebody whose number is hidden."""
    return {"to": recipient} if recipient.isascii() and recipient.isdigit() else {"recipient": recipient}


def _interactive(message: OutboundMessage) -> dict[str, Json]:
    """Three short choices as buttons, up to ten as a list."""
    if len(message.text) > BODY_BESIDE_BUTTONS:
        raise Refused(f"With buttons WhatsApp takes {BODY_BESIDE_BUTTONS:,} characters.")
    choices = [(f"{MARK}{button.value}", button.label) for button in message.buttons]
    body = {"text": message.text}
    if len(choices) <= BUTTONS and all(len(label) <= BUTTON_TITLE for _, label in choices):
        buttons = [{"type": "reply", "reply": {"id": value, "title": label}} for value, label in choices]
        return {"type": "interactive", "interactive": {"type": "button", "body": body, "action": {"buttons": buttons}}}
    if len(choices) > ROWS:
        raise Refused(f"WhatsApp takes {ROWS} choices under one message.")
    rows = [_row(value, label) for value, label in choices]
    action = {"button": LIST_LABEL, "sections": [{"rows": rows}]}
    return {"type": "interactive", "interactive": {"type": "list", "body": body, "action": action}}


def _row(value: str, label: str) -> dict[str, str]:
    if len(label) <= ROW_TITLE:
        return {"id": value, "title": label}
    return {"id": value, "title": f"{label[: ROW_TITLE - 1]}…", "description": label[:ROW_TEXT]}


def _digits(number: str) -> str:
    if not (number.isascii() and number.isdigit()):
        raise Refused("This is not a number of Meta's: it has only digits.")
    return number
