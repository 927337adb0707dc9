"""A Mastodon to test against: mastodon-mock (PyPI), a server with a database of its own, on a free port of loopback.

with mastodon_server() as server:
    connector = MastodonConnector(ChannelConfig({"server": server.url}, {"token": server.token("atlas")}))
    server.person("nadia").status_post("@atlas Bonjour")
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mastodon import Mastodon

from tests.requirements import require

PEOPLE = ("atlas", "nadia", "karim")


@dataclass(frozen=True)
class MastodonServer:
    """One server with the people of `PEOPLE`."""

    url: str

    def token(self, name: str) -> str:
        """The access token of somebody."""
        return f"{name}-token"

    def person(self, name: str) -> Mastodon:
        """Somebody's own client."""
        return Mastodon(access_token=self.token(name), api_base_url=self.url, version_check_mode="none")


@contextmanager
def mastodon_server(**config: Any) -> Iterator[MastodonServer]:
    """Start it; skips the test where the package is absent (SOCIALCRM_TEST_REQUIRE_ALL=1: fails it).

    `config` are more tables of mastodon-mock's configuration, as `ratelimit`.
    """
    try:
        from mastodon_mock.config import DatabaseConfig, MastodonMockConfig, SeedAccount, SeedConfig
        from mastodon_mock.testing import MockServer
    except ImportError:
        require("mastodon-mock (PyPI)")
    accounts = [SeedAccount(username=n, display_name=n.title(), access_token=f"{n}-token") for n in PEOPLE]
    settings = MastodonMockConfig(
        database=DatabaseConfig(path=":memory:"), seed=SeedConfig(accounts=accounts, follows=[]), **config
    )
    with MockServer(config=settings, startup_timeout=60) as server:
        yield MastodonServer(server.base_url)
