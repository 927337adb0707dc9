"""Which tables there are: name -> the function that fills it."""

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.reports.answers import answers
from socialcrm.reports.cases import case_causes, cases
from socialcrm.reports.filters import Filters
from socialcrm.reports.messages import complaints, languages, sentiment, volume
from socialcrm.reports.promises import sla, sla_channels, sla_measures, sla_teams
from socialcrm.reports.satisfaction import csat, csat_agents, csat_channels, csat_teams
from socialcrm.reports.tables import Table

TABLES: Mapping[str, Callable[[AsyncSession, Filters], Awaitable[Table]]] = {
    "volume": volume,
    "sentiment": sentiment,
    "complaints": complaints,
    "cases": cases,
    "case_causes": case_causes,
    "languages": languages,
    "answers": answers,
    "csat": csat,
    "csat_agents": csat_agents,
    "csat_teams": csat_teams,
    "csat_channels": csat_channels,
    "sla": sla,
    "sla_measures": sla_measures,
    "sla_teams": sla_teams,
    "sla_channels": sla_channels,
}
