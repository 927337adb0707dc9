"""A platform of the tests' own: it knows one token, can be polled or call us, and says what it was told."""

from typing import ClassVar

from connectors.base import (
    Account,
    AuthExpired,
    BadWebhook,
    Connector,
    Field,
    Json,
    Limits,
    Page,
    RawEvent,
    Refused,
    WebhookRequest,
)


class ShopConnector(Connector):
    """Connects with a token that starts with "good"; the account is what follows it."""

    name: ClassVar[str] = "shop"
    label: ClassVar[str] = "Shop"
    limits: ClassVar[Limits] = Limits(text_length=100)
    fields: ClassVar[tuple[Field, ...]] = (
        Field("token", "Token", "From the shop's page.", help_url="https://shop.example/token", is_secret=True),
        Field("mode", "Mode", default="polling", choices=("polling", "webhook")),
        Field("greeting", "Greeting", is_required=False),
    )
    made_secrets: ClassVar[tuple[str, ...]] = ("webhook_secret",)
    told: ClassVar[list[tuple[str | None, str]]] = []
    """What `set_webhook` was called with."""

    @property
    def is_polled(self) -> bool:
        return self.config.settings.get("mode") != "webhook"

    async def connect(self) -> Account:
        token = self.config.credentials["token"]
        if token == "broken":
            raise ZeroDivisionError
        if not token.startswith("good"):
            raise AuthExpired("The shop does not know this token: 100% <wrong>.")
        return Account(token.removeprefix("good") or "1", "The <b>shop</b>")

    async def set_webhook(self, url: str | None, secret: str) -> None:
        self.told.append((url, secret))
        if self.config.settings.get("greeting") == "no webhook":
            raise Refused("An https address is needed.")

    async def poll(self, cursor: Json) -> Page:
        return Page(())

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        secret = self.config.credentials.get("webhook_secret", "")
        if not secret or request.headers.get("x-secret", "") != secret:
            raise BadWebhook("wrong secret")
        return [RawEvent({"body": request.body.decode()})]
