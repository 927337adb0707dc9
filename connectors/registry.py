"""Which connectors there are: name -> where its class is, imported on first use."""

from importlib import import_module

from connectors.base import Connector

CONNECTORS = {
    "api": "connectors.api:ApiConnector",
    "bluesky": "connectors.bluesky:BlueskyConnector",
    "echo": "connectors.echo:EchoConnector",
    "email": "connectors.mail:EmailConnector",
    "facebook": "connectors.facebook:FacebookConnector",
    "feed": "connectors.feed:FeedConnector",
    "instagram": "connectors.instagram:InstagramConnector",
    "kannel": "connectors.kannel:KannelConnector",
    "messenger": "connectors.messenger:MessengerConnector",
    "linkedin": "connectors.linkedin:LinkedInConnector",
    "mastodon": "connectors.mastodon:MastodonConnector",
    "replay": "connectors.replay:ReplayConnector",
    "telegram": "connectors.telegram:TelegramConnector",
    "twilio": "connectors.twilio:TwilioConnector",
    "webchat": "connectors.webchat:WebchatConnector",
    "x": "connectors.x:XConnector",
    "youtube": "connectors.youtube:YouTubeConnector",
    "whatsapp": "connectors.whatsapp:WhatsAppConnector",
}


def connector_class(name: str) -> type[Connector]:
    """The class registered under `name`; raises KeyError with the known names."""
    try:
        module, _, attribute = CONNECTORS[name].partition(":")
    except KeyError:
        raise KeyError(f"no connector is called {name!r}; there are {', '.join(sorted(CONNECTORS))}") from None
    found: type[Connector] = getattr(import_module(module), attribute)
    return found
