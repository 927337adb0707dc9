"""X and Meta's connectors, whose platform is a server of the tests: a new channel has no `api_url` of its own yet."""

from dataclasses import replace
from typing import ClassVar

from connectors.base import ChannelConfig
from connectors.facebook import FacebookConnector
from connectors.instagram import InstagramConnector
from connectors.whatsapp import WhatsAppConnector
from connectors.x import XConnector


class LocalX(XConnector):
    """X at `server`."""

    server: ClassVar[str] = ""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(replace(config, api_url=self.server))


class LocalFacebook(FacebookConnector):
    """A Facebook page at `server`."""

    server: ClassVar[str] = ""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(replace(config, api_url=self.server))


class LocalInstagram(InstagramConnector):
    """Instagram at Facebook's `server`."""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(replace(config, api_url=LocalFacebook.server))


class LocalWhatsApp(WhatsAppConnector):
    """WhatsApp at Facebook's `server`."""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(replace(config, api_url=LocalFacebook.server))
