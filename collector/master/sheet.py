"""The one CSV form of the master data: a line for each register of a meter at a point (docs/master.md).

A line says what holds `from` its day or instant on. What is said of a point, a meter or an installation on one line
need not be repeated on the next line of the same; where it is, it must be the same. What is said otherwise with a later
`from` holds from then on. Nothing here knows a store: the outcome is words with their places, or every fault at once.
"""

from __future__ import annotations

import difflib
import functools
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from collector.faults import MasterDataError
from collector.master import cells, ids, units
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.clocks import instant
from collector.master.csvlines import Cell, Line, Misread, lines
from collector.master.dated import ALWAYS, Span
from collector.master.meters import Edge, Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Medium, Point, Scheme, Supply
from protocols.reading import Identity, Scaled
from protocols.settings.problems import Problem, shortened, source_line

T = TypeVar("T")
Word = Point | Supply | Meter | Register | Mapped | Installation | Channel
COLUMNS = {
    "point": "the metering point's id; empty: the line enters a meter that is not installed yet",
    "scheme": "hu, gsrn, eic or free",
    "medium": "electricity, heat, cooling, hot-water, cold-water or gas",
    "zone": "IANA name of the zone in which the point's days begin: Europe/Budapest",
    "customer": "number of the customer who is supplied there",
    "meter": "the meter's serial number, as on its plate",
    "model": "its model",
    "protocol": "mbus, dlms or modbus: whose identity follows; empty: the meter says nothing of itself",
    "manufacturer": "what it says of itself: manufacturer (KAM)",
    "id": "... M-Bus number (8 digits)",
    "fabrication": "... fabrication number",
    "plate": "... serial number of the plate",
    "logical_name": "... logical device name",
    "system_title": "... system title (hex)",
    "verified": "day of its verification",
    "until": "day on which that ends",
    "seals": "numbers of its seals, | between them",
    "gateway": "of a meter without identity: the gateway that reads it",
    "device": "... and the device's name there",
    "from": "since when: a day of the point's zone, or an instant",
    "to": "until when the meter was installed; empty: it still is",
    "clock": "the zone that the meter's clock keeps: +01:00 all year, or a name; empty: the point's",
    "interval_edge": "whether its stamps name the start or the end of an interval; empty: end",
    "day_edge": "... of a day; empty: start",
    "register": "a register's name, unique in the meter; empty: the line names none",
    "native": "its native key as 'readings' shows it, or an OBIS name",
    "kind": "total, interval, mean, maximum, instantaneous, resetting, balance; empty: total",
    "quantity": "energy, volume, power, ...",
    "unit": "what it shows: Wh, kWh, GJ, m3, ...",
    "factor": "what is shown times this was delivered (CT x VT); empty: 1",
    "modulus": "where a total begins anew, as shown; empty: never",
    "step": "the least difference that it can show",
    "initial": "what it stood at when the meter came",
    "final": "... when it went",
    "channel": "name of the point's channel that it feeds; empty: none",
    "cadence": "15min, hour, day or month",
    "aggregate": "sum, last, mean, maximum or volume-weighted; empty: by the kind",
    "weight": "of volume-weighted: the channel that weighs",
}
NEEDED = ("point", "from")  # columns that every file has
FAULTS = 1_000  # told of one file
COLUMN_FAULTS = 12  # told of one header: with more it is no header
UTC = "UTC"
OF_KIND = {
    Kind.TOTAL: Aggregate.SUM,
    Kind.INTERVAL: Aggregate.SUM,
    Kind.MEAN: Aggregate.MEAN,
    Kind.MAXIMUM: Aggregate.MAXIMUM,
    Kind.INSTANT: Aggregate.MEAN,
    Kind.RESETTING: Aggregate.LAST,
    Kind.BALANCE: Aggregate.LAST,
}
# Which cell a fault of a word is shown at.
CELL_OF: dict[type, str] = {
    Point: "point",
    Supply: "customer",
    Meter: "meter",
    Register: "register",
    Mapped: "device",
    Installation: "from",
    Channel: "channel",
}
_IDENTITY = ("manufacturer", "id", "fabrication", "plate", "logical_name", "system_title")


@dataclass(frozen=True, slots=True)
class Placed:
    """A word and the line that says it."""

    word: Word
    row: Row


@dataclass(slots=True)
class Row:
    """A line under the header: its cells by column, empty ones left out; `comma`: numbers may be written with one."""

    file: str
    line: Line
    cells: dict[str, Cell]
    comma: bool

    def text(self, column: str) -> str:
        """A cell's text; empty where there is none."""
        cell = self.cells.get(column)
        return "" if cell is None else cell.text

    def problem(self, column: str, expected: str, got: str, do: str, near: str = "") -> Problem:
        """A fault at a cell of this line."""
        cell = self.cells.get(column)
        at, width = (cell.column, max(1, len(cell.text))) if cell else (1, 1)
        source = source_line(self.line.source)
        return Problem(self.file, self.line.number, at, column, expected, got, near, do, source=source, width=width)

    def fault(self, column: str, error: MasterDataError) -> Problem:
        """An error as a fault at a cell of this line."""
        return self.problem(column, error.expected, error.got, error.do)


@dataclass(slots=True)
class Sheet:
    """What a file says: its words in the order in which they are entered, and every fault.

    `broken` are the points and meters (column, name) of lines with a fault: what is said of them may be incomplete.
    """

    words: list[Placed] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)
    rows: int = 0


class _Said:
    """What lines say of things, by thing and time."""

    def __init__(self) -> None:
        self.things: dict[tuple[object, ...], dict[int, Placed]] = {}

    def say(self, key: tuple[object, ...], word: Word, row: Row) -> Problem | None:
        """Take up a word; a fault where another line says otherwise of the same time."""
        at = self.things.setdefault(key, {})
        there = at.setdefault(word.span.from_ms, Placed(word, row))
        if there.word == word:
            return None
        column = CELL_OF[type(word)]
        do = "let the lines agree, or give this one a later 'from'"
        return row.problem(column, f"what line {there.row.line.number} says of it", "something else", do)

    def words(self) -> Iterator[Placed]:
        """Each thing's words, each ending where the next begins; what a later one only repeats is left out."""
        for at in self.things.values():
            said = [at[from_ms] for from_ms in sorted(at)]
            kept: list[Placed] = []
            for each in said:
                if not kept or replace(each.word, span=kept[-1].word.span) != kept[-1].word:
                    kept.append(each)
            for n, each in enumerate(kept):
                span = each.word.span
                later = kept[n + 1].word.span.from_ms if n + 1 < len(kept) else None
                if span.to_ms is None and later is not None and not isinstance(each.word, Installation):
                    each = Placed(replace(each.word, span=Span(span.from_ms, later)), each.row)  # noqa: PLW2901
                yield each


def read(octets: bytes, file: str) -> Sheet:
    """The words of a file, and every fault in it; with a fault nothing of it may be entered."""
    sheet = Sheet()
    rows = list(_rows(octets, file, sheet))
    sheet.rows = len(rows)
    reader = _Reader(rows, sheet)
    for row in rows:
        reader.take(row)
    reader.finish()
    return sheet


def _rows(octets: bytes, file: str, sheet: Sheet) -> Iterator[Row]:
    header: list[str] | None = None
    comma = False
    for line in lines(octets):
        if isinstance(line, Misread):
            sheet.problems.append(Problem(file, line.line, line.column, "", line.expected, line.got, do=line.do))
        elif header is None:
            header = _header(line, file, sheet)
            comma = ";" in line.source
            if not set(NEEDED) <= set(header):
                return  # every line would be at fault for it
        elif len(line.cells) > len(header) and any(cell.text for cell in line.cells[len(header) :]):
            extra = line.cells[len(header)]
            expected, got = f"{len(header)} cells as in the header", f"{len(line.cells)}"
            do = "put a text that has the separator in it between double quotes"
            sheet.problems.append(Problem(file, line.number, extra.column, "", expected, got, do=do))
        else:
            named = {name: cell for name, cell in zip(header, line.cells, strict=False) if cell.text}
            yield Row(file, line, named, comma)
    if header is None and not sheet.problems:
        got, do = "an empty file", "begin it with a line that names the columns"
        sheet.problems.append(Problem(file, 1, 1, "", "a header line and lines under it", got, do=do))


def _header(line: Line, file: str, sheet: Sheet) -> list[str]:
    names = [cell.text.strip().lower() for cell in line.cells]
    source = source_line(line.source)
    counts = Counter(names)
    wrong = [(n, name) for n, name in enumerate(names) if name not in COLUMNS or counts[name] > 1]
    for n, name in wrong[:COLUMN_FAULTS]:
        cell = line.cells[n]
        near = next(iter(difflib.get_close_matches(name, COLUMNS, 1, 0.5)), "")
        got = f"{shortened(name)!r}{' twice' if name in COLUMNS else ''}"
        expected, do = "a column of docs/master.md, once", "correct the name, or take the column out"
        width = max(1, len(cell.text))
        found = Problem(file, line.number, cell.column, "", expected, got, near, do, source=source, width=width)
        sheet.problems.append(found)
    for name in NEEDED:
        if name not in names:
            do = f"add the column {name}: {COLUMNS[name]}"
            sheet.problems.append(Problem(file, line.number, 1, name, f"a column {name}", "none", do=do, source=source))
    return names


class _Reader:
    """Takes the words out of the rows; each fault is kept and the rest goes on."""

    def __init__(self, rows: Sequence[Row], sheet: Sheet) -> None:
        self._sheet, self._rows = sheet, rows
        self._said: dict[type, _Said] = {each: _Said() for each in CELL_OF}
        self._come: dict[tuple[str, str, int], tuple[Installation, Row]] = {}
        # What is said once of a point or a meter counts on its other lines too.
        self._shared: dict[tuple[str, str, str], Cell] = {}
        for row in rows:
            for column, cell in row.cells.items():
                if (name := _of(column)) and row.text(name):
                    self._shared.setdefault((name, row.text(name), column), cell)

    def take(self, row: Row) -> None:
        """The words of one line."""
        for column in ("customer", "meter", "register", "channel", "weight"):
            self._cell(row, column, functools.partial(ids.check_name, what=column))
        if not row.text("point"):
            self._stock(row)
            return
        zone = self._zone(row) or UTC  # what is faulty is told, and the rest of the line is looked at
        start = self._cell(row, "from", lambda text: instant(text, zone), needed=True) or 0
        end = self._cell(row, "to", lambda text: instant(text, zone))
        if end is not None and end <= start:
            self._bad(row.problem("to", "an end after 'from'", row.text("to"), "correct one of the two"))
            end = None
        self._point(row, zone, start)
        self._customer(row, start)
        self._meter(row, zone, start, end)

    def _stock(self, row: Row) -> None:
        """A line without a point: a meter that is not installed yet, and its registers."""
        if not row.text("meter"):
            self._bad(row.problem("point", COLUMNS["point"], "nothing", "fill in the column point"))
        elif places := [column for column in row.cells if column in _OF_PLACE]:
            do = f"fill in the column point, or leave {', '.join(places)} of a meter that is not installed empty"
            self._bad(row.problem("point", "a metering point's id", "nothing", do))
        self._meter(row, UTC, ALWAYS.from_ms, None)

    def finish(self) -> None:
        """Put the words in the order in which they can be entered."""
        for installation, row in self._come.values():
            self._say((installation.point, installation.meter), installation, row)
        faulty = {problem.line for problem in self._sheet.problems}
        for row in self._rows:
            if row.line.number in faulty:
                self._sheet.broken |= {(name, row.text(name)) for name in ("point", "meter")}
        for said in (self._said[each] for each in (Point, Supply, Meter, Register, Mapped, Installation, Channel)):
            self._sheet.words += [each for each in said.words() if each.row.line.number not in faulty]

    def _point(self, row: Row, zone: str, start: int) -> None:
        scheme = self._shared_cell(row, "scheme", lambda text: cells.word(Scheme, text), needed=True)
        medium = self._shared_cell(row, "medium", lambda text: cells.word(Medium, text), needed=True)
        if scheme is None or medium is None:
            return
        try:
            ids.check(scheme, row.text("point"))
        except MasterDataError as error:
            self._bad(row.fault("point", error))
            return
        self._say((row.text("point"),), Point(row.text("point"), scheme, medium, zone, Span(start)), row)

    def _customer(self, row: Row, start: int) -> None:
        if row.text("customer"):
            self._say((row.text("point"),), Supply(row.text("point"), row.text("customer"), Span(start)), row)

    def _meter(self, row: Row, zone: str, start: int, end: int | None) -> None:
        serial = row.text("meter")
        if not serial:
            for column in row.cells:
                if _of(column) == "meter" or column in _OF_INSTALLATION:
                    do = f"fill in the column meter, or leave {column} empty"
                    self._bad(row.problem("meter", COLUMNS["meter"], "nothing", do))
                    return
            return
        identity = self._identity(row)
        days = [self._shared_cell(row, name, cells.day) for name in ("verified", "until")]
        seals = tuple(each.strip() for each in self._text(row, "seals").split("|") if each.strip())
        if identity is not None:
            verified, until = days
            self._say((serial,), Meter(serial, self._text(row, "model"), identity, verified, until, seals), row)
        register = self._register(row, start)
        if row.text("point"):
            self._install(row, zone, Span(start, end), register)
        if register is not None:
            self._map(row, register)
            self._channel(row, register)

    def _identity(self, row: Row) -> Identity | None:
        protocol = self._shared_cell(row, "protocol", cells.protocol)
        said: dict[str, Any] = {name: text for name in _IDENTITY if (text := self._text(row, name))}
        if protocol is None:
            if said or "protocol" in row.cells:
                if said:
                    self._bad(row.problem("protocol", COLUMNS["protocol"], "nothing", "fill in the column protocol"))
                return None
            return Identity(_UNSAID)
        if not said:
            self._bad(row.problem("protocol", "what the meter says of itself", "nothing", "fill in id or fabrication"))
            return None
        if "system_title" in said:
            try:
                said["system_title"] = bytes.fromhex(said["system_title"])
            except ValueError:
                self._bad(row.problem("system_title", "16 hex digits", repr(said["system_title"]), "correct it"))
                return None
        return Identity(protocol, **said)

    def _register(self, row: Row, start: int) -> Register | None:
        name = row.text("register")
        if not name:
            found = next((column for column in row.cells if column in _OF_REGISTER), None)
            if found:
                self._bad(row.problem(found, "a register's name on this line", "none", "fill in register"))
            return None
        key = self._cell(row, "native", cells.native_key, needed=True)
        kind = self._cell(row, "kind", lambda text: cells.word(Kind, text)) or Kind.TOTAL
        factor = self._cell(row, "factor", lambda text: cells.ratio(_point_for(text, row)))
        modulus = self._cell(row, "modulus", lambda text: cells.number(_point_for(text, row)))
        step = self._cell(row, "step", lambda text: cells.number(_point_for(text, row)), needed=True)
        quantity, unit = (self._cell(row, each, str, needed=True) for each in ("quantity", "unit"))
        if quantity is not None:
            self._meant(row, quantity, unit)
        if step is not None and step.mantissa <= 0:
            self._bad(row.problem("step", "a step above 0", str(step), f"correct it: {COLUMNS['step']}"))
        if key is None or step is None or quantity is None or unit is None:
            return None
        ratio = cells.ratio("1") if factor is None else factor
        word = Register(row.text("meter"), name, key, kind, quantity, unit, ratio, modulus, step, Span(start))
        return word if self._say((word.meter, name), word, row) else None

    def _meant(self, row: Row, quantity: str, unit: str | None) -> None:
        """The quantity is known, and the unit is one of its."""
        try:
            units.base_unit(quantity)
        except MasterDataError as error:
            self._bad(row.fault("quantity", error))
            return
        try:
            if unit is not None:
                units.in_base(Scaled(1), unit, quantity)
        except MasterDataError as error:
            self._bad(row.fault("unit", error))

    def _install(self, row: Row, zone: str, span: Span, register: Register | None) -> None:
        clock = self._cell(row, "clock", cells.clock) or zone
        interval = self._cell(row, "interval_edge", lambda text: cells.word(Edge, text)) or Edge.END
        day = self._cell(row, "day_edge", lambda text: cells.word(Edge, text)) or Edge.START
        stood: dict[str, tuple[Stood, ...]] = {"initial": (), "final": ()}
        for column in stood:
            value = self._cell(row, column, lambda text: cells.number(_point_for(text, row)))
            if value is not None and register is not None:
                stood[column] = (Stood(register.name, value),)
        point, meter = row.text("point"), row.text("meter")
        new = Installation(point, meter, span, clock, interval, day, stood["initial"], stood["final"])
        known, first = self._come.setdefault((point, meter, span.from_ms), (new, row))
        if known is new:
            return
        if replace(known, initial=(), final=()) != replace(new, initial=(), final=()):
            do = "let to, clock and edges agree on all lines of an installation"
            self._bad(row.problem("meter", f"what line {first.line.number} says of it", "something else", do))
            return
        joined = replace(known, initial=known.initial + new.initial, final=known.final + new.final)
        self._come[point, meter, span.from_ms] = (joined, first)

    def _map(self, row: Row, register: Register) -> None:
        gateway, device = self._text(row, "gateway"), self._text(row, "device")
        if not gateway and not device:
            return
        if not (gateway and device) or self._text(row, "protocol"):
            expected = "gateway and device, both, of a meter that says nothing of itself"
            got = "an identity too" if gateway and device else "one of them"
            self._bad(row.problem("gateway" if gateway else "device", expected, got, "fill in either of the two ways"))
            return
        word = Mapped(gateway, device, register.key, register.meter, register.name, register.span)
        self._say((gateway, device, register.key), word, row)

    def _channel(self, row: Row, register: Register) -> None:
        name = row.text("channel")
        if not name:
            return
        cadence = self._cell(row, "cadence", lambda text: cells.word(Cadence, text), needed=True)
        aggregate = self._cell(row, "aggregate", lambda text: cells.word(Aggregate, text))
        aggregate = aggregate or OF_KIND.get(register.kind)
        if aggregate is None:
            self._bad(row.problem("aggregate", COLUMNS["aggregate"], "nothing", "fill in the column aggregate"))
        if cadence is None or aggregate is None:
            return
        point, weight = row.text("point"), row.text("weight") or None
        word = Channel(point, name, register.quantity, register.name, cadence, aggregate, register.span, weight)
        self._say((point, name), word, row)

    def _zone(self, row: Row) -> str | None:
        zone = self._shared_cell(row, "zone", str, needed=True)
        try:
            return None if zone is None else zoneinfo.ZoneInfo(zone).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            got = repr(shortened(row.text("zone")))
            self._bad(row.problem("zone", "an IANA time zone as Europe/Budapest", got, "correct the name"))
            return None

    def _say(self, key: tuple[object, ...], word: Word, row: Row) -> bool:
        problem = self._said[type(word)].say(key, word, row)
        self._sheet.problems += [problem] if problem else []
        return problem is None

    def _text(self, row: Row, column: str) -> str:
        name = _of(column)
        cell = row.cells.get(column) or (self._shared.get((name, row.text(name), column)) if name else None)
        return "" if cell is None else cell.text

    def _shared_cell(self, row: Row, column: str, parse: Callable[[str], T], needed: bool = False) -> T | None:
        return self._parsed(row, column, self._text(row, column), parse, needed)

    def _cell(self, row: Row, column: str, parse: Callable[[str], T], needed: bool = False) -> T | None:
        return self._parsed(row, column, row.text(column), parse, needed)

    def _parsed(self, row: Row, column: str, text: str, parse: Callable[[str], T], needed: bool) -> T | None:
        if not text:
            if needed:
                self._bad(row.problem(column, COLUMNS[column], "nothing", f"fill in the column {column}"))
            return None
        try:
            return parse(text)
        except MasterDataError as error:
            do = error.do if type(error) is not MasterDataError else f"correct it: {COLUMNS[column]}"
            self._bad(row.problem(column, error.expected, error.got, do))
            return None

    def _bad(self, problem: Problem) -> None:
        same = (problem.line, problem.key, problem.expected)
        if all((each.line, each.key, each.expected) != same for each in self._sheet.problems[-8:]):
            self._sheet.problems.append(problem)


_OF_POINT = frozenset({"scheme", "medium", "zone"})
_OF_THE_METER = frozenset({"model", "protocol", *_IDENTITY, "verified", "until", "seals", "gateway", "device"})
_OF_INSTALLATION = frozenset({"to", "clock", "interval_edge", "day_edge", "register"})
_OF_PLACE = frozenset({*_OF_POINT, "customer", "from", "to", "clock", "initial", "final", "channel"})
_OF_REGISTER = frozenset(
    {"native", "kind", "quantity", "unit", "factor", "modulus", "step", "initial", "final", "channel"}
)
_UNSAID = cells.protocol("mbus")  # of an identity that says nothing


def _of(column: str) -> str | None:
    """The column whose thing a column describes wherever it stands."""
    if column in _OF_POINT:
        return "point"
    return "meter" if column in _OF_THE_METER else None


def _point_for(text: str, row: Row) -> str:
    """A decimal comma counts where the cells are not separated by commas."""
    return text.replace(",", ".") if row.comma and text.count(",") == 1 and "." not in text else text
