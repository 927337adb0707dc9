"""Run the product: everything in one process, or the line alone."""

import asyncio
import errno
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web
from rich.console import Console

from config.settings import Settings
from socialcrm.app import open_line
from socialcrm.demo import Trickle, seed
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import Timetable
from socialcrm.migrate import migrate
from socialcrm.web.escalations import mail_escalations
from socialcrm.web.losses import tell_admins
from socialcrm.web.low_scores import tell_supervisors
from socialcrm.web.server import build_app

LOSSES_SECONDS = 30.0


async def serve(settings: Settings, console: Console) -> None:
    """Web pages, webhooks, collecting, the line and delivery, until somebody stops it."""
    async with open_line(settings) as line, running(line, console) as url:
        console.print(f"\n[bold]SocialCRM is at {url}[/]")
        _say_where(settings, url, console)
        await _until_stopped()
        console.print("Stopping; what is not finished goes on at the next start.")


async def work(settings: Settings, console: Console) -> None:
    """The line and delivery, without web pages."""
    async with open_line(settings) as line:
        await migrate(line.database)
        timetable = Timetable(line)
        timetable.every(LOSSES_SECONDS, partial(tell_admins, line), "losses")
        timetable.every(LOSSES_SECONDS, partial(tell_supervisors, line), "low scores")
        timetable.every(LOSSES_SECONDS, partial(mail_escalations, line), "escalations")
        await timetable.start()
        console.print("The line is at work.")
        try:
            await _until_stopped()
        finally:
            await timetable.stop()


@asynccontextmanager
async def running(line: Line, console: Console) -> AsyncIterator[str]:
    """A started server; yields its address."""
    settings = line.settings
    await migrate(line.database)
    if settings.demo.is_on:
        await seed(line, console)
    timetable = Timetable(line)
    timetable.every(LOSSES_SECONDS, partial(tell_admins, line), "losses")
    timetable.every(LOSSES_SECONDS, partial(tell_supervisors, line), "low scores")
    timetable.every(LOSSES_SECONDS, partial(mail_escalations, line), "escalations")
    runner = web.AppRunner(build_app(line), access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, settings.web.host, settings.web.port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        if error.errno != errno.EADDRINUSE:
            raise
        where = f"{settings.web.host}:{settings.web.port}"
        raise OSError(f"Something else listens on {where}: stop it, or choose another with --port.") from error
    await timetable.start()
    if settings.demo.is_on:
        timetable.every(settings.demo.trickle_seconds, Trickle(line).next, "demo trickle")
    try:
        yield f"http://{settings.web.host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await timetable.stop()


def _say_where(settings: Settings, url: str, console: Console) -> None:
    if not settings.demo.is_on:
        console.print("Sign in with an account made by `socialcrm create-agent`.")
        return
    console.print(f"Inbox            {url}/inbox")
    console.print(f"Customer's site  {url}/demo/  (the chat is at the bottom)")
    console.print("Sign in as       amina@wasla.example (agent) or admin@wasla.example (admin)")
    console.print(f"Password         {settings.demo.password}")
    console.print("Stop with Ctrl+C; `make run` starts it again with everything still there.\n")


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    await stopped.wait()
