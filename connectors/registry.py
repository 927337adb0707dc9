"""Which connectors there are: name -> where its class is, imported on first use."""

from importlib import import_module

from connectors.base import Connector

CONNECTORS = {
    "api": "connectors.api:ApiConnector",
    "echo": "connectors.echo:EchoConnector",
    "replay": "connectors.replay:ReplayConnector",
    "telegram": "connectors.telegram:TelegramConnector",
    "webchat": "connectors.webchat:WebchatConnector",
}


def connector_class(name: str) -> type[Connector]:
    """The class registered under `name`; raises KeyError with the known names."""
    try:
        module, _, attribute = CONNECTORS[name].partition(":")
    except KeyError:
        raise KeyError(f"no connector is called {name!r}; there are {', '.join(sorted(CONNECTORS))}") from None
    found: type[Connector] = getattr(import_module(module), attribute)
    return found
