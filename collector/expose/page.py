"""The page: templates that escape everything, and the files beside it; nothing is asked of anybody else."""

from __future__ import annotations

import datetime
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from collector.expose import words
from collector.expose.api import Here
from collector.expose.faults import NoSuchAddressError

THIN = "\u202f"  # a narrow space that does not break
HTMX = "htmx-2.0.11.min.js"
STATIC = {HTMX: "text/javascript", "page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}
STATIC_CACHE = "max-age=300"
UNITS = {
    "m3": "m³",
    "Cel": "°C",
    "m3/h": "m³/h",
    "kW.h": "kWh",
    "W.h": "Wh",
    "var.h": "varh",
    "VA.h": "VAh",
    "d": "days",
}

router = APIRouter(include_in_schema=False)
After = Annotated[str, Query(pattern="^([0-9a-f]{16})?$")]


def grouped(number: str, kind: str) -> str:
    """A number with thin spaces between its thousands; what is no number stays as it is."""
    whole, dot, rest = number.partition(".")
    digits = whole.removeprefix("-")
    if kind not in ("number", "float32") or not digits.isdigit() or (dot and not rest.isdigit()):
        return number
    sign = "\u2212" if whole.startswith("-") else ""
    first = len(digits) % 3
    parts = ([digits[:first]] if first else []) + [digits[at : at + 3] for at in range(first, len(digits), 3)]
    return sign + THIN.join(parts) + dot + rest


def unit(name: str) -> str:
    """A UCUM unit as people write it."""
    return UNITS.get(name, name.replace("m3", "m³").replace("Cel", "°C").strip("{}"))


def age(seconds: int) -> str:
    """How long ago, in the largest unit that says it well."""
    if seconds < 0:
        return f"{age_of(-seconds)} ahead of our clock"
    return f"{age_of(seconds)} ago"


def age_of(seconds: int) -> str:
    """A span of time in words."""
    span = datetime.timedelta(seconds=seconds)
    minutes, hours = seconds // 60, seconds // 3600
    if span < datetime.timedelta(minutes=2):
        return f"{seconds} s"
    if span < datetime.timedelta(hours=2):
        return f"{minutes} min"
    if span < datetime.timedelta(days=2):
        return f"{hours} h {minutes % 60} min"
    return f"{span.days} days"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("collector.expose"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "grouped": grouped,
        "unit": unit,
        "instant": words.instant,
        "age": age,
        "span": age_of,
        "held": words.held,
    }
    return made


_templates = _environment()
_static = {name: files("collector.expose").joinpath("static", name).read_bytes() for name in STATIC}


@router.get("/")
def page(site: Here, after: After = "") -> HTMLResponse:
    """The whole page."""
    return HTMLResponse(_templates.get_template("page.html").render(view=site.overview(after), after=after, htmx=HTMX))


@router.get("/fragment")
def fragment(site: Here, after: After = "") -> HTMLResponse:
    """What the page asks for every two seconds."""
    return HTMLResponse(_templates.get_template("fragment.html").render(view=site.overview(after), after=after))


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """A file beside the page."""
    if name not in STATIC:
        raise NoSuchAddressError("a file beside the page", name[:80], "/static")
    return Response(_static[name], media_type=STATIC[name], headers={"cache-control": STATIC_CACHE})


@router.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """Browsers ask for it whatever the page says."""
    return await static("icon.svg")
