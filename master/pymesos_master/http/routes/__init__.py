"""The table of routes: the server, the OpenAPI document and docs/http-api.md are made from it.

What is read is GET /v1/THINGS, or GET /v1/THINGS/ID/… of one of them. What is done is
POST /v1/THINGS/VERB, with a JSON object that names what it is done to.
"""

from __future__ import annotations

from pymesos_master.http.routes import (
    access,
    agents,
    alerts,
    cluster,
    frameworks,
    job_deeds,
    jobs,
    overview,
    roles,
    sandbox,
    tasks,
    webhooks,
)
from pymesos_master.http.routes.table import Route

ROUTES: tuple[Route, ...] = (
    *cluster.ROUTES,
    *overview.ROUTES,
    *agents.ROUTES,
    *frameworks.ROUTES,
    *tasks.ROUTES,
    *roles.ROUTES,
    *access.ROUTES,
    *webhooks.ROUTES,
    *alerts.ROUTES,
    *jobs.ROUTES,
    *job_deeds.ROUTES,
    *sandbox.ROUTES,
)
# Which masters relay to the one that leads.
CALLS = frozenset(route.full_call for route in ROUTES if route.service != "Jobs")
