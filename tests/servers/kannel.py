"""The real Kannel (Debian: kannel, kannel-extras): bearerbox, smsbox, and fakesmsc as the SMS centre with a handset."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

import aiohttp

from tests.requirements import require

FAKESMSC = Path("/usr/lib/kannel/test/fakesmsc")
USER, PASSWORD, ADMIN = "crm", "kannel-password", "status-password"
GOT = re.compile(r"Got message \d+: <(\S+) (\S+) (.*)>$")


@dataclass(frozen=True)
class Sms:
    """One SMS as the handset got it; `part` is its header, where it is one of several."""

    sender: str
    recipient: str
    text: str
    part: bytes = b""


@dataclass
class Handset:
    """A fakesmsc: what it got, as it says so."""

    received: list[Sms] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int) -> list[Sms]:
        """The SMS that it got, once there are `count`."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.received) >= count)
        return self.received


@dataclass(frozen=True)
class Kannel:
    """A running gateway: where its smsbox listens, and on which port its SMS centre is awaited."""

    url: str
    centre_port: int
    status_url: str

    @asynccontextmanager
    async def handset(self, written: str) -> AsyncIterator[Handset]:
        """An SMS centre that brings one message, in the words of fakesmsc ("sender receiver text hello"), then takes
        what Kannel sends."""
        async with _running(str(FAKESMSC), "-H", "127.0.0.1", "-r", str(self.centre_port), "-m", "1", written) as said:
            handset = Handset()
            reader = asyncio.create_task(_listen(said, handset))
            try:
                yield handset
            finally:
                reader.cancel()
                with suppress(asyncio.CancelledError):
                    await reader


async def _listen(said: asyncio.StreamReader, handset: Handset) -> None:
    while line := (await said.readline()).decode(errors="replace").rstrip("\n"):
        if found := GOT.search(line):
            async with handset.changed:
                handset.received.append(_sms(*found.groups()))
                handset.changed.notify_all()


def _sms(sender: str, recipient: str, rest: str) -> Sms:
    """fakesmsc shows texts plainly, UCS-2 and parts per cent encoded."""
    kind, _, text = rest.partition(" ")
    if kind == "ucs-2":
        return Sms(sender, recipient, unquote_to_bytes(text.replace("+", " ")).decode("utf-16-be"))
    if kind == "udh":
        header, _, tail = text.partition(" ")
        _, _, data = tail.partition(" ")
        raw = unquote_to_bytes(data.replace("+", " "))
        # The parts of a UCS-2 text are called data too: Arabic and Latin letters begin with these bytes in it.
        charset = "utf-16-be" if b"\x06" in raw or b"\x00" in raw else "utf-8"
        return Sms(sender, recipient, raw.decode(charset), unquote_to_bytes(header))
    return Sms(sender, recipient, text)


@asynccontextmanager
async def kannel(folder: Path, service: Callable[[str], str]) -> AsyncIterator[Kannel]:
    """Start it with the group that `service` gives for a URL of the smsbox; skips the test where it is not installed
    (SOCIALCRM_TEST_REQUIRE_ALL=1: fails it)."""
    if not shutil.which("bearerbox") or not shutil.which("smsbox") or not FAKESMSC.is_file():
        require("Kannel and fakesmsc (Debian packages kannel and kannel-extras)")
    admin, boxes, centre, sendsms = _free_ports(4)
    url = f"http://127.0.0.1:{sendsms}"
    config = folder / "kannel.conf"
    core = (
        f"group = core\nadmin-port = {admin}\nadmin-password = {ADMIN}\nsmsbox-port = {boxes}\ndlr-storage = internal"
    )
    smsc = f"group = smsc\nsmsc = fake\nsmsc-id = FAKE\nport = {centre}\nconnect-allow-ip = 127.0.0.1"
    smsbox = f"group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}"
    user = f"group = sendsms-user\nusername = {USER}\npassword = {PASSWORD}\nmax-messages = 10\nconcatenation = true"
    config.write_text("\n\n".join((core, smsc, smsbox, user, service(url))) + "\n")
    status = f"http://127.0.0.1:{admin}/status.txt?password={ADMIN}"
    async with _running("bearerbox", str(config)):
        await _until(status, "running")
        async with _running("smsbox", str(config)):
            await _until(status, "smsbox")
            await _until(f"{url}/cgi-bin/sendsms", "")
            yield Kannel(url, centre, status)


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[asyncio.StreamReader]:
    program = shutil.which(command[0]) or command[0]
    process = await asyncio.create_subprocess_exec(
        program, *command[1:], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=1_000_000
    )
    assert process.stdout
    try:
        yield process.stdout
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _until(url: str, word: str) -> None:
    """Wait until a server answers with `word`."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if word in await answer.text():
                        return
            await asyncio.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
