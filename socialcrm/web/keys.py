"""What is kept on the application and on a request."""

from aiohttp import web

from socialcrm.domain.people import Agent, WebSession
from socialcrm.engine.line import Line

LINE = web.AppKey("line", Line)

AGENT = web.RequestKey("agent", Agent)
"""Who is signed in; there on every page that is not public."""
SESSION = web.RequestKey("session", WebSession)
