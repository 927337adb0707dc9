"""What the tests share: a database of each kind, the real pipeline, and a line put together by the app itself."""

import asyncio
import os
import shutil
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import socialcrm.database
from config.settings import Settings, load_settings
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.database import Database
from socialcrm.engine.line import Line
from socialcrm.migrate import migrate
from tests.requirements import require

EMPTY = """
DO $$ DECLARE name text; BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    SET LOCAL session_replication_role = replica;  -- foreign keys are not asked while all rows go
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE 'DELETE FROM ' || quote_ident(name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        PERFORM setval(quote_ident(name), 1, false);
    END LOOP;
END $$
"""
FORM = """
SELECT string_agg(concat(attrelid, '.', attname, ':', atttypid), ',' ORDER BY attrelid, attnum)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""
POSTGRES = os.environ.get("SOCIALCRM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith("SOCIALCRM_") and "TEST" not in name]:
        del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", choices=("quick", "rest", "all"), default="all", help="`make test` is quick, `make slow` the rest"
    )


def pytest_report_header(config: pytest.Config) -> str:
    return {
        "quick": "quick: most tests on SQLite only; `make slow` runs the rest",
        "rest": "rest: on PostgreSQL what `make test` runs on SQLite only, and what takes long",
    }.get(config.option.part, "all tests, on both databases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the part that is asked for, and spread the long ones evenly, so that no worker is left alone with them."""
    if config.option.part != "all":
        names = {item.nodeid for item in items}
        wanted = [item for item in items if _is_for_later(item, names) == (config.option.part == "rest")]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(wanted)])
        items[:] = wanted
    long = [item for item in items if item.get_closest_marker("long") or item.get_closest_marker("slow")]
    rest = [item for item in items if item not in set(long)]
    share = len(rest) // max(len(long), 1)
    for place, item in enumerate(long):
        rest.insert(place * (share + 1), item)
    items[:] = rest


def _is_for_later(item: pytest.Item, names: Collection[str]) -> bool:
    """Whether a test takes long, or ran on SQLite already and is not about what the databases do differently."""
    if item.get_closest_marker("slow"):
        return True
    twin = item.nodeid.replace("postgresql", "sqlite")
    return twin != item.nodeid and twin in names and not item.get_closest_marker("both_databases")


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
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of a test's databases are, under the same names in each test."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator["Pool"]:
    """Migrated databases that tests use one after another."""
    pool = Pool()
    try:
        asyncio.run(_run(POSTGRES, "SELECT 1"))
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        require(f"PostgreSQL at {POSTGRES.rpartition('@')[2]} ({type(error).__name__})")
    yield pool
    pool.drop()


class Engines:
    """Engines that tests use one after another. Each compiles every statement anew: longer than most tests take."""

    def __init__(self) -> None:
        self._free: dict[str, list[AsyncEngine]] = {}

    def lend(self, url: URL, **options: Any) -> AsyncEngine:
        """One that is free, or a new one."""
        free = self._free.get(self._key(url))
        return free.pop() if free else create_async_engine(url, **options)

    async def take_back(self, database: Database) -> None:
        """Close its connections, which belong to the event loop of one test, and keep the rest."""
        await database.engine.dispose()
        self._free.setdefault(self._key(database.url), []).append(database.engine)

    @staticmethod
    def _key(url: URL) -> str:
        return f"{url} in {Path.cwd()}"  # a file's path may be a relative one


@pytest.fixture(scope="session", autouse=True)
def engines() -> Iterator[None]:
    """Every database of the tests borrows its engine."""
    shared = Engines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socialcrm.database, "create_async_engine", shared.lend)
        patch.setattr(Database, "close", lambda database: shared.take_back(database))
        yield


class Pool:
    """Databases on PostgreSQL. Emptying one takes a twentieth of the time of dropping and making it."""

    def __init__(self) -> None:
        self._free: list[str] = []
        self._forms: dict[str, object] = {}

    def take(self) -> str:
        """The address of an empty, migrated database."""
        if self._free:
            return self._free.pop()
        name = f"socialcrm_test_{uuid.uuid4().hex[:12]}"
        url = f"{POSTGRES.rpartition('/')[0]}/{name}"
        asyncio.run(_run(POSTGRES, f"CREATE DATABASE {name}"))
        asyncio.run(_migrate(url))
        # What a test loses with its server it need not keep: commits do not wait for the disk.
        self._forms[url] = asyncio.run(_run(url, f"ALTER DATABASE {name} SET synchronous_commit = off", FORM))
        return url

    def give_back(self, url: str) -> None:
        """Empty it, and end whatever a test left connected to it."""
        form = asyncio.run(_run(url, EMPTY, FORM))
        if form == self._forms[url]:  # a test that breaks its tables leaves them to nobody
            self._free.append(url)

    def drop(self) -> None:
        """Drop them all."""
        names = [url.rpartition("/")[2] for url in self._forms]
        asyncio.run(_run(POSTGRES, *(f"DROP DATABASE {name} WITH (FORCE)" for name in names)))


async def _migrate(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


async def _run(url: str, *statements: str) -> object:
    """Run statements one after another; the first value of the last one's first row, if it has any."""
    connection = await asyncpg.connect(url, timeout=10)
    found = None
    for statement in statements:
        found = await connection.fetchval(statement)
    await connection.close()
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes fresh, migrated databases and says their addresses: every test that uses it runs on both kinds."""
    taken: list[str] = []
    numbers = count()

    def make() -> str:
        if request.param == "sqlite":
            path = request.getfixturevalue("sqlite_files") / f"{next(numbers)}.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        taken.append(request.getfixturevalue("postgres_databases").take())
        return taken[-1]

    yield make
    if request.param == "sqlite":
        for path in request.getfixturevalue("sqlite_files").iterdir():
            path.unlink()
    for url in taken:
        request.getfixturevalue("postgres_databases").give_back(url)


@pytest.fixture
def database_url(fresh_database: Callable[[], str]) -> str:
    """The address of a fresh, migrated database."""
    return fresh_database()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return load_settings(
        storage={"folder": str(tmp_path / "data"), "database": database_url},
        line={"idle_seconds": 0.05},
        bot={"settle_seconds": 0},
        survey={"delay_seconds": 0, "rest_days": 0},
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
