"""The endpoints of metering points: series as columns, stands, newest values."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from collector.expose import pointviews
from collector.expose.api import Here, known_only
from collector.expose.queries import Look
from collector.faults import QuestionError
from collector.grid import By
from collector.master.dated import Span
from collector.query.ask import Question, ask, periods_at_most
from collector.query.book import MasterBook
from collector.query.latest import latest as newest
from collector.query.shown import columns_of, stand_row
from collector.query.source import zone_at
from collector.query.times import EXPECTED, instant_of

MOST_PERIODS = 45_000  # of an answer: 15 months of quarter hours, about 1 MB
MOST_STANDS = 5_000  # of an answer: about 2 MB

points = APIRouter(prefix="/api/v1/points", tags=["points"], dependencies=[Depends(known_only)])

_PointId = Annotated[str, Path(min_length=1, max_length=64, description="id of a metering point")]
_ChannelName = Annotated[str, Path(min_length=1, max_length=64, description="name of a channel of the point")]
_From = Annotated[str, Query(alias="from", max_length=40, description=EXPECTED, examples=["2026-03"])]
_To = Annotated[str | None, Query(max_length=40, description="until before this; now where left out")]
_KnownAt = Annotated[str | None, Query(max_length=40, description="as was known then; now where left out")]
_ByAsked = Annotated[By, Query(description="the periods")]
_Unit = Annotated[str | None, Query(max_length=16, description="kWh, GJ, m3 ...; the base unit where left out")]
_Decimals = Annotated[int | None, Query(ge=0, le=12, description="of the unit; rounded once, half to even")]


@points.get("/{point:path}/series/{channel:path}", response_model=pointviews.SeriesColumns)
def series(
    site: Here,
    point: _PointId,
    channel: _ChannelName,
    begin: _From,
    to: _To = None,
    by: _ByAsked = By.DAY,
    unit: _Unit = None,
    decimals: _Decimals = None,
    known_at: _KnownAt = None,
) -> Response:
    """A channel by periods of the point's zone, as columns."""
    with site.look() as look:
        asked = _Asked.of(look, point, begin, to, known_at)
        question = Question(point, channel, asked.from_ms, asked.to_ms, by, unit, decimals, asked.known_ms)
        if periods_at_most(question) > MOST_PERIODS:
            raise QuestionError(f"at most {MOST_PERIODS} periods", "more", "from, to and by")
        return JSONResponse(columns_of(ask(look.store.curves, asked.book, question, look.now_ms)))


@points.get("/{point:path}/stands", response_model=pointviews.StandViews)
def stands(site: Here, point: _PointId, begin: _From = "1971", to: _To = None, known_at: _KnownAt = None) -> Response:
    """The stands of a point's registers, with consumption and character."""
    with site.look() as look:
        asked = _Asked.of(look, point, begin, to, known_at)
        found = look.store.stands.of(point, asked.from_ms, asked.to_ms, asked.known_ms)
    if len(found) > MOST_STANDS:
        raise QuestionError(f"at most {MOST_STANDS} stands: a shorter time", str(len(found)), "from and to")
    return JSONResponse({"stands": [dataclasses.asdict(stand_row(each, asked.zone)) for each in found]})


@points.get("/{point:path}/latest", response_model=pointviews.LatestViews)
def latest(site: Here, point: _PointId, known_at: _KnownAt = None) -> Response:
    """The newest value of each channel of a point."""
    with site.look() as look:
        asked = _Asked.of(look, point, "1971", None, known_at)
        found = newest(look.store.curves, asked.book, point, look.now_ms, asked.known_ms)
    shown = [
        {"channel": each.channel, "latest": None if each.answer is None else columns_of(each.answer)} for each in found
    ]
    return JSONResponse({"channels": shown})


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """What the times of a request mean at its point."""

    book: MasterBook
    zone: str
    from_ms: int
    to_ms: int
    known_ms: int | None

    @classmethod
    def of(cls, look: Look, point: str, begin: str, to: str | None, known_at: str | None) -> _Asked:
        book = MasterBook(look.store.master)
        zone = zone_at(book, point, Span(look.now_ms, look.now_ms + 1), None)
        return cls(
            book,
            zone,
            instant_of(begin, zone, "from"),
            look.now_ms if to is None else instant_of(to, zone, "to"),
            None if known_at is None else instant_of(known_at, zone, "known_at"),
        )
