"""What the tests share: a database of each kind, the real pipeline, and a line put together by the app itself."""

import asyncio
import os
import shutil
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from config.settings import Settings, load_settings
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.database import Database
from socialcrm.engine.line import Line
from socialcrm.migrate import migrate
from tests.requirements import require

POSTGRES = os.environ.get("SOCIALCRM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith("SOCIALCRM_") and "TEST" not in name]:
        del os.environ[name]


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return Pipeline.load()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "socialcrm.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """The name of a migrated database that tests copy."""
    name = f"socialcrm_template_{uuid.uuid4().hex[:8]}"
    try:
        asyncio.run(_admin(f"CREATE DATABASE {name}"))
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        require(f"PostgreSQL at {POSTGRES.rpartition('@')[2]} ({type(error).__name__})")
    asyncio.run(_migrate(with_name(name)))
    yield name
    asyncio.run(_admin(f"DROP DATABASE {name} WITH (FORCE)"))


async def _migrate(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


async def _admin(statement: str) -> None:
    connection = await asyncpg.connect(POSTGRES, timeout=10)
    await connection.execute(statement)
    await connection.close()


def with_name(name: str) -> str:
    return f"{POSTGRES.rpartition('/')[0]}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes fresh, migrated databases and says their addresses: every test that uses it runs on both kinds."""
    names: list[str] = []

    def make() -> str:
        name = f"socialcrm_test_{uuid.uuid4().hex[:12]}"
        if request.param == "sqlite":
            path = tmp_path / f"{name}.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        template = request.getfixturevalue("postgres_template")
        asyncio.run(_admin(f"CREATE DATABASE {name} TEMPLATE {template}"))
        names.append(name)
        return with_name(name)

    yield make
    for name in names:
        asyncio.run(_admin(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database_url(fresh_database: Callable[[], str]) -> str:
    """The address of a fresh, migrated database."""
    return fresh_database()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return load_settings(
        storage={"folder": str(tmp_path / "data"), "database": database_url},
        line={"idle_seconds": 0.05},
        survey={"delay_seconds": 0},
    )


@pytest.fixture
async def line(settings: Settings, pipeline: Pipeline) -> AsyncIterator[Line]:
    async with open_line(settings, pipeline=pipeline) as line:
        yield line


@pytest.fixture
async def database(line: Line) -> Database:
    return line.database


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests talk to this machine only."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not (
            str(address[0]).startswith("127.") or address[0] in ("::1", "localhost")
        ):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield
