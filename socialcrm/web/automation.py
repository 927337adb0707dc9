"""What the product does by itself, on one page: a card for each part, with a link to where it is set."""

from aiohttp import web

from socialcrm.domain.people import Role
from socialcrm.web.guard import needs
from socialcrm.web.page import page
from socialcrm.web.words import N_

routes = web.RouteTableDef()

CARDS: tuple[tuple[str, str, str, str], ...] = (
    (
        "automation",
        "rules",
        N_("Rules"),
        N_("What is done with a message by itself: team, priority, labels, answers, calls to other systems."),
    ),
    (
        "team",
        "routing",
        N_("Routing"),
        N_("Who gets a conversation, how many at once, and what makes it urgent."),
    ),
    (
        "bot",
        "bot",
        N_("Bot"),
        N_("Greeting, answers of the FAQ, menus and forms, and when a person takes over."),
    ),
    (
        "clock",
        "hours",
        N_("Working hours"),
        N_("Calendars: opening periods, days off, seasons, and which team works by which."),
    ),
    (
        "flag",
        "sla",
        N_("Promises"),
        N_("How soon customers get an answer and a solution, and who is told before it is late."),
    ),
    (
        "survey",
        "surveys",
        N_("Surveys"),
        N_("What customers are asked after a conversation, and what a low score sets off."),
    ),
)
"""Icon, name of the page's route, title, what it is for; in the order in which a message meets them."""


@routes.get("/automation", name="automation")
@needs(Role.SUPERVISOR, Role.ADMIN)
async def automation(request: web.Request) -> web.Response:
    """The cards."""
    return await page(request, "automation.html", nav="automation", cards=CARDS)
