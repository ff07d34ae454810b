"""Profiles beside the load profile: billing periods and event logs, at cadences of their own.

Their rows come when something happens, and several may bear one second. So each visit asks from a day before the last
row on, and hands on what it did not hand on before: rows are told apart by time, number within that time, and values.
A process that has just started hands on that day again; the collector has those rows already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway import pieces
from gateway.beside import Scalers
from gateway.config import DlmsDevice
from gateway.dlms_rows import Numbered, instant, later, numbered
from gateway.faults import RowWithoutTime
from gateway.pieces import Fit, Range, Source
from gateway.scales import Scales
from protocols import obis
from protocols.dlms import data as axdr
from protocols.dlms import profile
from protocols.dlms.data import Data
from protocols.dlms.faults import AccessRefused
from protocols.dlms.objects import PROFILE, Attribute, ScalerUnit
from protocols.dlms.profile import Column, Row
from protocols.errors import MeterError
from protocols.models import dlms as models
from protocols.reading import MeterTime, Value
from protocols.transports.dlms import Association, Got

DAY_S = 86_400
OVERLAP_S = DAY_S  # by how much a clock may be set back without a row being passed over
STEP_S = 31 * DAY_S  # what is asked for at once; twice as much after each answer without rows
LIFO = 2  # a sort method: the newest row comes first
LEAST_S = 3_600  # a meter that refuses what came within an hour is asked for no less
TRIES = 3  # visits that may fail before the next cadence is waited for


@dataclass(slots=True)
class Layout:
    """What a profile captures, read once and kept as long as the meter says the same of its columns."""

    captured: Data
    columns: tuple[Column, ...]
    scalers: dict[Attribute, ScalerUnit]
    newest_first: bool
    known: Scales  # by which it was made: another one is of another firmware


@dataclass(slots=True)
class Further:
    """A profile, and what is remembered of it between visits; `codes` are the names of events, None: no event log."""

    name: bytes
    codes: Mapping[int, str] | None
    cadence_ms: int
    days: int
    layout: Layout | None = None
    looked: int | None = None  # the cadence in which it was read to its end
    failed: int = 0  # visits since then
    trouble: MeterError | None = None
    newest: MeterTime | None = None
    fit: Fit = field(default_factory=Fit)
    handed: dict[tuple[MeterTime, int], tuple[Value, ...]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Its OBIS name."""
        return obis.shown(self.name)

    def is_due(self, utc_ms: int) -> bool:
        """Whether it was not read to its end in this cadence."""
        return self.looked != utc_ms // self.cadence_ms

    def done(self, utc_ms: int) -> None:
        """It was read to its end."""
        self.looked, self.failed = utc_ms // self.cadence_ms, 0

    def missed(self, error: MeterError, utc_ms: int) -> None:
        """It could not be read: what the meter refuses is not asked for again before the next cadence."""
        self.trouble, self.failed, self.layout = error, self.failed + 1, None
        if isinstance(error, AccessRefused) or self.failed >= TRIES:
            self.done(utc_ms)


def model_of(device: DlmsDevice) -> models.DlmsModel | None:
    """What is known of its model.

    Raises:
        UnknownDlmsModel: it is none that this version has.
    """
    return None if device.model is None else models.load(device.model)


def is_compressed(device: DlmsDevice) -> bool:
    """Whether its nulls stand for what is in the row above."""
    model = model_of(device)
    return device.compressed if device.compressed is not None else model is not None and model.compressed


def is_idis(device: DlmsDevice) -> bool:
    """Whether the status words of its profiles are as IDIS meters write them."""
    model = model_of(device)
    return model is not None and model.status_bits == "idis"


def further_of(device: DlmsDevice) -> tuple[Further, ...]:
    """The profiles beside the load profile that are read of a device: its own, or else the model's."""
    model = model_of(device)
    logs = () if model is None else model.logs
    codes = {obis.from_text(each.name): each.codes() for each in logs}
    others = device.further_profiles if device.further_profiles is not None else model.further_profiles if model else ()
    wanted = device.logs if device.logs is not None else tuple(each.name for each in logs)
    names = [obis.from_text(each) for each in wanted]
    profiles = [obis.from_text(each) for each in others]
    cadences = device.further_cadence_s * 1000, device.logs_cadence_s * 1000
    return (
        *(Further(name, None, cadences[0], device.further_days) for name in profiles),
        *(Further(name, codes.get(name, {}), cadences[1], device.further_days) for name in names),
    )


async def layout_of(association: Association, further: Further, scalers: Scalers) -> Layout:
    """Its columns and their scalers; those that are known are asked for again where the columns have changed."""
    scales = scalers.scales
    captured = (await association.get(Attribute(PROFILE, further.name, profile.CAPTURE_OBJECTS))).data
    scales.captures(further.name, captured)
    if further.layout is not None and further.layout.captured == captured and further.layout.known is scales:
        return further.layout
    columns = profile.columns(captured)
    registers = [each.attribute for each in columns]
    await scalers.learn(scales.missing(registers))
    scalers.check(registers)
    newest_first = await is_newest_first(further.name, scalers)
    known = {each.attribute: found for each in columns if (found := scales.of(each.attribute))}
    further.layout = Layout(captured, columns, known, newest_first, scales)
    return further.layout


async def next_rows(
    association: Association,
    further: Further,
    last: MeterTime | None,
    now: MeterTime,
    compressed: bool,
    scalers: Scalers,
) -> tuple[list[Numbered], list[Got], bool]:
    """The next rows, oldest first, and their answers; and whether there are no more.

    Raises:
        LinkError, MeterError: they could not be read.
        RowWithoutTime: there are rows whose time the meter does not know, and no others.
    """
    layout = await layout_of(association, further, scalers)
    if last != further.newest:  # another process read on, or what was handed on was refused
        further.handed.clear()
    first, step_s = _start(further, last, now), STEP_S
    ways = layout.columns, layout.scalers, 0, compressed, layout.newest_first
    source = Source(association, further.name, *ways)
    while True:
        source.answers.clear()
        wanted = Range(first, later(first, step_s), LEAST_S, OVERLAP_S, now=now)
        found = await pieces.read(source, wanted, further.fit)
        fresh = _fresh(further, found.rows, last)
        over = instant(found.end) >= instant(now)
        if fresh or over:
            return fresh, source.answers, over
        first, step_s = found.end, 2 * step_s


def hand_on(further: Further, rows: Sequence[Numbered]) -> None:
    """These rows are handed on; those of the last day are remembered."""
    for row, part in rows:
        if row.time is not None:
            further.newest = row.time
            further.handed[row.time, part] = row.values
    if further.newest is not None:
        oldest = instant(further.newest) - 2 * OVERLAP_S
        further.handed = {key: values for key, values in further.handed.items() if instant(key[0]) >= oldest}


def _start(further: Further, last: MeterTime | None, now: MeterTime) -> MeterTime:
    """A day before the last row, or before now where the clock was set back further."""
    if last is None:
        return later(now, -further.days * DAY_S)
    return later(min(last, now, key=instant), -OVERLAP_S)


def _fresh(further: Further, found: Sequence[Row], last: MeterTime | None) -> list[Numbered]:
    """The rows that were not handed on yet.

    Raises:
        RowWithoutTime: some have no time, and no other is left.
    """
    known = last is not None and not further.handed and any(any(row.nulls) for row in found)
    fresh, without = [], 0
    for place, (row, part) in enumerate(numbered(found)):
        if known and not place and row.time != last:
            continue  # it was sealed as what stood below another row then
        if row.time is None:
            without += 1
        elif further.handed.get((row.time, part)) != row.values:
            fresh.append((row, part))
    if without:
        further.trouble = RowWithoutTime("rows with their time", f"{without} without", f"profile {further.shown}")
        if not fresh:
            raise further.trouble
    return fresh


async def is_newest_first(name: bytes, scalers: Scalers) -> bool:
    """Whether a profile is sorted so; a meter that does not say how gives the oldest row first.

    Raises:
        LinkError, MeterError: it does not say so now.
    """
    known = scalers.scales.newest_first(name)
    if known is not None:
        return known
    found = await scalers.beside(Attribute(PROFILE, name, profile.SORT_METHOD))
    newest_first = found is not None and axdr.whole(found.data, "sort method") == LIFO
    scalers.scales.sorts(name, newest_first)
    return newest_first
