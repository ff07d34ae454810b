"""The application: endpoints, errors as problem+json, an OpenAPI description that is exact, and the guard around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from collector.expose import api, page, views
from collector.expose.faults import NoSuchAddressError, NoSuchMeterError, RequestError
from collector.expose.guard import PROBLEM, Guard, problem
from collector.expose.points import points
from collector.expose.site import Site
from collector.faults import NoSeriesError, QuestionError, UnexpectedError, UnitError
from protocols.errors import PlombaError, StorageError

THREADS = 3  # requests that look at the store at one time
OPENAPI = "/api/openapi.json"
ABOUT = (
    "Reads only. Numbers of meters are decimal text, units are UCUM, instants are ISO 8601 in UTC; a meter's own times"
    " are as it shows them, without a zone. Every reading names the batch and leaf that prove it."
)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": views.Problem, "description": "there is no such thing"},
    422: {"model": views.Problem, "description": "a parameter does not fit"},
    503: {"model": views.Problem, "description": "the store cannot be read now"},
}


def make_app(site: Site, names: tuple[str, ...] = ()) -> ASGIApp:
    """The application for one collector; `names` are host names beside those of the loopback address."""
    app = FastAPI(
        title="plomba collector",
        version=version("plomba"),
        description=ABOUT,
        openapi_url=OPENAPI,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_few_threads,
    )
    app.state.site = site
    app.include_router(page.router)
    app.include_router(api.router, responses={503: _PROBLEMS[503]})
    app.include_router(api.api, responses=_PROBLEMS)
    app.include_router(points, responses=_PROBLEMS)
    app.add_exception_handler(PlombaError, _known)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(HTTPException, _nothing)
    app.add_exception_handler(Exception, _unexpected)
    app.openapi = lambda: _description(app)  # type: ignore[method-assign] # FastAPI's documented way
    return Guard(app, names)


@asynccontextmanager
async def _few_threads(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


async def _known(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, PlombaError):
        raise error
    missing = (NoSuchMeterError, NoSuchAddressError, NoSeriesError)
    unfit = (RequestError, QuestionError, UnitError)
    others = 404 if isinstance(error, missing) else 422 if isinstance(error, unfit) else 500
    status = 503 if isinstance(error, StorageError) else others
    return _answer(error, status)


async def _unfit(_: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    first = faults[0] if faults else {"loc": (), "msg": "", "input": ""}
    where = ".".join(str(each) for each in first["loc"])
    return _answer(RequestError(str(first["msg"]).lower(), repr(first["input"])[:80], where), 422)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    return _answer(UnexpectedError("an answer", repr(error)[:200], "the page"), 500)


async def _nothing(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _answer(NoSuchAddressError("an address of this collector", request.url.path[:80]), status)


def _answer(fault: PlombaError, status: int) -> JSONResponse:
    return JSONResponse(problem(fault, status).model_dump(), status, media_type=PROBLEM)


def _description(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the errors under the type that they really have."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in made["paths"].values():
            for operation in path.values():
                _retype(operation["responses"])
        app.openapi_schema = made
    return app.openapi_schema


def _retype(responses: dict[str, Any]) -> None:
    for answer in responses.values():
        content = answer.get("content", {})
        reference = str(content.get("application/json", {}).get("schema", {}).get("$ref", ""))
        if reference.endswith("/Problem"):
            content[PROBLEM] = content.pop("application/json")
