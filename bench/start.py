"""Time from the command to the first answer, and memory, of `socialcrm serve` on a fresh and on a known folder."""

import asyncio
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[1]


async def measure() -> list[dict[str, Any]]:
    """One row per kind of start."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            await _start("empty, first start", folder, []),
            await _start("empty, restart", folder, []),
            await _start("demo, first start (seeds a week)", f"{folder}/demo", ["--demo"]),
            await _start("demo, restart", f"{folder}/demo", ["--demo"]),
        ]


async def _start(name: str, folder: str, more: list[str]) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "run.py", "serve", "--port", str(port), *more,
        cwd=ROOT, env={**os.environ, "SOCIALCRM_STORAGE__FOLDER": folder},
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/health") as response:
                    if response.status == 200:
                        break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
    seconds = time.perf_counter() - begin
    status = Path(f"/proc/{process.pid}/status").read_text()
    memory = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    process.terminate()
    await process.wait()
    return {"start": name, "seconds": round(seconds, 1), "memory MB": memory}
