"""What a connector may raise; the engine knows what to do with each."""


class ConnectorError(Exception):
    """What a connector may raise; the message is a sentence that an agent or an admin can act on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TryLater(ConnectorError):
    """Nothing was sent or read; try again after `retry_after` seconds, or after our own back-off when it is None."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class AuthExpired(ConnectorError):
    """The platform no longer accepts our credentials: the channel stops, keeps its queue and asks for reconnection."""


class Refused(ConnectorError):
    """The platform will never accept this item; `reason` holds its own words."""


class MaybeSent(ConnectorError):
    """The connection ended after the request was written: nobody knows whether the platform acted on it."""


class BadWebhook(ConnectorError):
    """The call is not from the platform: answered with 403 and not kept."""


class BadPayload(ConnectorError):
    """The raw event is from the platform, but we cannot read it: it becomes a dead letter with this reason."""


class Ignored(ConnectorError):
    """The raw event is understood and not for us (a group chat, our own echo): kept in the ledger with this reason."""
