"""The endpoints: each one looks at the store for a moment and answers with a frozen value."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute

from collector.expose import views
from collector.expose.faults import RequestError
from collector.expose.metrics import CONTENT_TYPE, metrics_text
from collector.expose.queries import EVENTS_BEFORE, NO_LIMIT, READINGS_BEFORE, Look
from collector.expose.site import Site
from protocols.reading import How

LIMIT = 50  # rows of an answer where nothing is asked for
MOST = 200  # ... and at the most: with the largest readings about 5 MB


async def known_only(request: Request) -> None:
    """Refuse a parameter that the address does not know: what it was meant for would silently not happen."""
    route = request.scope["route"]
    known = [each.alias for each in route.dependant.query_params] if isinstance(route, APIRoute) else []
    for name in request.query_params:
        if name not in known:
            ordered = sorted(known, key=lambda each: -SequenceMatcher(None, name, each).ratio())
            expected = f"one of the parameters {', '.join(ordered)}" if known else "no parameter"
            raise RequestError(expected, repr(name[:80]), "the query")


router = APIRouter()
api = APIRouter(prefix="/api/v1", dependencies=[Depends(known_only)])


async def _site(request: Request) -> Site:
    found: Site = request.app.state.site
    return found


Here = Annotated[Site, Depends(_site)]
Limit = Annotated[int, Query(ge=1, le=MOST, description="rows at the most")]
MeterId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="id of a meter", examples=["3f2a9c0d11e45b77"])]
AfterGateway = Annotated[str | None, Query(pattern="^[a-z0-9-]{3,32}$", description="the next of an earlier page")]
AfterMeter = Annotated[str | None, Query(pattern="^[0-9a-f]{16}$", description="the next of an earlier page")]
BeforeReading = Annotated[str | None, Query(pattern=READINGS_BEFORE, description="the next of an earlier page")]
BeforeEvent = Annotated[str | None, Query(pattern=EVENTS_BEFORE, description="the next of an earlier page")]
BeforeNumber = Annotated[int | None, Query(ge=1, le=NO_LIMIT, description="the next of an earlier page")]
HowAsked = Annotated[
    Literal["read", "profile", "storage", "push", "event_log"], Query(description="how the readings came")
]


@api.get("/status", tags=["status"])
def status(site: Here) -> views.Status:
    """Is everything well? The sentence at the top of the page and the numbers behind it."""
    return site.overview().status


@api.get("/gateways", tags=["gateways"])
def gateways(site: Here, after: AfterGateway = None, limit: Limit = LIMIT) -> views.Gateways:
    """Gateways by name: state, backlog, clock, counts, gaps, open cases, keys."""
    with site.look() as look:
        return look.gateways(after or "", limit)


@api.get("/meters", tags=["meters"])
def meters(site: Here, after: AfterMeter = None, limit: Limit = LIMIT) -> views.Meters:
    """Meters by id, each with its newest readings; every seal is verified again for the answer."""
    with site.look() as look:
        return look.meters(after or "", limit)


@api.get("/meters/{meter}", tags=["meters"])
def meter(site: Here, meter: MeterId) -> views.MeterView:
    """One meter with its newest readings."""
    with site.look() as look:
        return look.meter(meter)


@api.get("/meters/{meter}/readings", tags=["meters"])
def readings(
    site: Here, meter: MeterId, how: HowAsked = "read", before: BeforeReading = None, limit: Limit = LIMIT
) -> views.Readings:
    """A meter's stored readings, the newest first; every seal is verified again for the answer."""
    with site.look() as look:
        return look.readings(meter, How[how.upper()], before, limit)


@api.get("/refusals", tags=["refusals"])
def refusals(site: Here, before: BeforeNumber = None, limit: Limit = LIMIT) -> views.Refusals:
    """The newest refused messages, with what their codes mean."""
    with site.look() as look:
        return look.refusals(before or NO_LIMIT, limit)


@api.get("/events", tags=["events"])
def events(site: Here, before: BeforeEvent = None, limit: Limit = LIMIT) -> views.Events:
    """The newest records that gateways sealed beside their readings."""
    with site.look() as look:
        return look.events(before, limit)


@router.get("/healthz", tags=["health"])
async def healthz() -> views.Alive:
    """The process answers."""
    return views.Alive()


@router.get("/readyz", tags=["health"], responses={503: {"model": views.Ready, "description": "not now, and why"}})
def readyz(site: Here) -> Response:
    """Whether batches are received and stored now: broker linked, store readable and durable."""
    with site.look() as look:
        _readable(look)
    reasons = site.origin.health.reasons()
    found = views.Ready(ready=not reasons, reasons=reasons)
    return JSONResponse(found.model_dump(), 503 if reasons else 200)


@router.get("/metrics", tags=["health"], response_class=PlainTextResponse)
def metrics(site: Here) -> Response:
    """Numbers for Prometheus."""
    with site.look() as look:
        return Response(metrics_text(look, site.origin.health), media_type=CONTENT_TYPE)


def _readable(look: Look) -> None:
    look.store.gateways.generation()
