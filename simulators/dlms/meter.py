"""One simulated meter as COSEM objects: a snapshot for each association, profiles and logs, and the record of them.

It lives in the time of its own clock, which may go wrong: rows and events bear what that shows.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.action import ActionResult, Method
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import Malformed
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.guard import Vault
from protocols.dlms.listing import ASSOCIATION, OBJECT_LIST, READ, Listed, Right
from protocols.dlms.objects import (
    CLOCK,
    CLOCK_TIME,
    DATA,
    DEVICE_ID,
    FIRMWARE,
    LOGICAL_DEVICE_NAME,
    PROFILE,
    REGISTER,
    VALUE,
    Attribute,
)
from protocols.dlms.profile import (
    BUFFER,
    CAPTURE_OBJECTS,
    CAPTURE_PERIOD,
    ENTRIES_IN_USE,
    PROFILE_ENTRIES,
    SORT_METHOD,
    Column,
)
from protocols.dlms.ways import RangeEnds, has_offset
from protocols.errors import MeterError
from protocols.reading import MeterTime, Precision
from simulators.curve import EPOCH_QUARTERS, QUARTER_MS, Curve
from simulators.dlms import books
from simulators.dlms.books import EventLog
from simulators.dlms.going import RIGHT, GoingClock
from simulators.dlms.plates import DEPTH, PERIOD_S, STANDARD_TIME_MIN, Kind, Plate, Register
from simulators.dlms.selecting import narrowed, selected
from simulators.record import Answered, Record

LOAD_PROFILE = bytes((1, 0, 99, 1, 0, 255))
ROW_STATUS = Attribute(DATA, bytes((0, 0, 96, 10, 1, 255)), VALUE)
OWNER_ID = Attribute(DATA, bytes((0, 0, 96, 1, 1, 255)), VALUE)  # a number that the owner gives the meter
MAX_OWNER_ID = 32  # bytes
CLOCK_ZONE, CLOCK_STATUS = (Attribute(CLOCK, CLOCK_TIME.name, number) for number in (3, 4))
ASSOCIATION_STATUS, ASSOCIATED = 8, 2  # attribute of the association, and what it says in one
UNKNOWN_OF_ROWS = (6,)  # attributes of a profile that this meter does not have: by what it is sorted
STATUS_SUMMER = 0x08  # bit of the status word of a row: summer time was active
STATUS_DOUBTFUL = 0x04  # ... its data are not valid
COUNTERS = bytes((0, 0, 43, 1))  # begin of the names of invocation counters; then the client
COUNTED_FROM_S = 1_700_000_000  # a meter of ours that is started again goes on above what it used
BEGAN_MS = EPOCH_QUARTERS * QUARTER_MS  # the meters were installed then
VOLTAGE = 2_300  # tenths of a volt, and how far it swings
VOLTAGE_SWING = 60
SHIFT_TIME = 6  # method of the clock
LONGEST_SHIFT_S = 900  # Blue Book 4.5.1
# Of the security setup (class 64): a certificate is taken, and given back; one at a time, whatever it holds.
IMPORT_CERTIFICATE, EXPORT_CERTIFICATE = (Method(64, bytes((0, 0, 43, 0, 0, 255)), number) for number in (6, 7))
MAX_CERTIFICATE = 2_048  # bytes
WATT = 27  # the Blue Book's code
Shown = dict[str, dict[str, int | str]]


class Meter:
    """One meter that lives in the time of `utc_ms`.

    `first` is the first quarter of its load profile, `written` the last one that is in the record already.
    """

    def __init__(
        self,
        plate: Plate,
        record: Record,
        utc_ms: Callable[[], int],
        seed: int,
        first: int,
        written: int | None,
        known: Mapping[bytes, Sequence[books.Event]] | None = None,
    ) -> None:
        """`known` are the events that its logs had before it was started again."""
        self.plate = plate
        self._record, self._utc_ms = record, utc_ms
        self.clock = GoingClock(utc_ms, plate.going)
        self.logs = {
            name: EventLog(name, f"{seed}/{plate.serial}", first * QUARTER_MS, (known or {}).get(name, ()))
            for name in books.LOGS
        }
        self._billed: set[int] = set()
        self._first = first
        self._written = first - 1 if written is None else written
        self._curves = {
            each.name: Curve(seed, f"{plate.serial}/{each.curve}", each.mean_wh) for each in plate.registers
        }
        self.vault = Vault(plate.title, Block(max(1, utc_ms() // 1000 - COUNTED_FROM_S), 2**32))
        self._snapshot: dict[Attribute, Data] = {}
        self.extra: dict[Attribute, Data] = {}  # what it shows beside that
        self._owner_id = axdr.octet_string(b"")
        self._certificate: Data | None = None
        self._row_time = functools.lru_cache(DEPTH)(self.time_at)

    def associated(self, client: int) -> None:
        """Latch what this association shows and put it into the record, before the AARE leaves."""
        now_ms = self._utc_ms()
        self.write_rows(self.clock.ms())
        time, stamp = self.stamped(self.clock.ms())
        shown: Shown = {str(CLOCK_TIME): {"time": str(time)}}
        self._snapshot = {CLOCK_TIME: axdr.octet_string(stamp)}
        for register in self.plate.registers:
            mantissa = self._mantissa(register, now_ms)
            self._snapshot[register.attribute] = Data(register.tag, mantissa)
            shown[str(register.attribute)] = _number(register, mantissa)
        server = self.plate.access.server
        self._record.append(Answered(now_ms, self.plate.serial, server, "", None, False, shown))

    def get(self, attribute: Attribute, selection: Selection | None, client: int) -> Data | AccessResult:
        """The attribute's data, or why there are none."""
        if attribute.class_id == PROFILE:
            return self._selected(attribute, selection)
        if selection is not None:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED
        if attribute.number == 1 and any(attribute.name == each.name for each in self._objects()):
            return axdr.octet_string(attribute.name)
        if attribute.class_id == DATA and attribute.name[:4] == COUNTERS and attribute.number == VALUE:
            return Data(Tag.DOUBLE_LONG_UNSIGNED, self.vault.seen.get(attribute.name[4], 0))
        if attribute.class_id == ASSOCIATION:
            return self._association(attribute)
        found = (
            self._shown(attribute)
            or self._snapshot.get(attribute)
            or self._fixed().get(attribute)
            or self.extra.get(attribute)
        )
        return AccessResult.OBJECT_UNDEFINED if found is None else found

    def _selected(self, attribute: Attribute, selection: Selection | None) -> Data | AccessResult:
        """What of a profile is asked for, where it takes such a question."""
        understood = self._understood(selection)
        if isinstance(understood, AccessResult):
            return understood
        return self._bounded(attribute, self._profiles(attribute, understood))

    def _association(self, attribute: Attribute) -> Data | AccessResult:
        """The association that asks: its name, its object list, and that it stands."""
        if attribute.name != self.plate.ways.association:
            return AccessResult.OBJECT_UNDEFINED
        found = {1: axdr.octet_string(attribute.name), ASSOCIATION_STATUS: Data(Tag.ENUM, ASSOCIATED)}
        if attribute.number == OBJECT_LIST.number:
            return axdr.array(*(each.to_data() for each in self._listed()))
        return found.get(attribute.number, AccessResult.OBJECT_UNDEFINED)

    def _shown(self, attribute: Attribute) -> Data | None:
        """What is not as it was when the association began."""
        if attribute == CLOCK_ZONE:
            return self._turned_minutes()
        if attribute == CLOCK_STATUS:
            return Data(Tag.UNSIGNED, self.stamped(self.clock.ms())[1][-1])
        if attribute == OWNER_ID:
            return self._owner_id
        if attribute == CLOCK_TIME and self.plate.going != RIGHT:
            return axdr.octet_string(self.stamped(self.clock.ms())[1])  # it goes on while others are read
        return None

    def set(self, attribute: Attribute, value: Data, client: int) -> AccessResult:
        """The clock may be set, and the owner's number, to a text of up to 32 bytes, kept as long as the meter runs."""
        if attribute == CLOCK_TIME:
            return self._set_clock(value)
        if attribute != OWNER_ID:
            return AccessResult.READ_WRITE_DENIED
        if value.tag is not Tag.OCTET_STRING or len(axdr.octets_of(value, "owner's number")) > MAX_OWNER_ID:
            return AccessResult.TYPE_UNMATCHED
        self._owner_id = value
        return AccessResult.SUCCESS

    def act(self, method: Method, parameter: Data | None, client: int) -> ActionResult | Data:
        """The clock may be shifted, by up to 900 s; a certificate may be stored, and is given back."""
        if method == EXPORT_CERTIFICATE:
            return ActionResult.OBJECT_UNAVAILABLE if self._certificate is None else self._certificate
        if method == IMPORT_CERTIFICATE:
            return self._import(parameter)
        shift = (method.class_id, method.name, method.number) == (CLOCK, CLOCK_TIME.name, SHIFT_TIME)
        return self._shift(parameter) if shift else ActionResult.OBJECT_UNDEFINED

    def _shift(self, parameter: Data | None) -> ActionResult:
        if not self.plate.shifts or not self.plate.adjustable:
            return ActionResult.READ_WRITE_DENIED
        if parameter is None or parameter.tag is not Tag.LONG or not isinstance(parameter.content, int):
            return ActionResult.TYPE_UNMATCHED
        if abs(parameter.content) > LONGEST_SHIFT_S:
            return ActionResult.OTHER_REASON
        self._move_clock(parameter.content * 1000)
        return ActionResult.SUCCESS

    def _import(self, certificate: Data | None) -> ActionResult:
        if certificate is None or certificate.tag is not Tag.OCTET_STRING:
            return ActionResult.TYPE_UNMATCHED
        if len(axdr.octets_of(certificate, "certificate")) > MAX_CERTIFICATE:
            return ActionResult.OTHER_REASON
        self._certificate = certificate
        return ActionResult.SUCCESS

    def _set_clock(self, value: Data) -> AccessResult:
        if not self.plate.adjustable:
            return AccessResult.READ_WRITE_DENIED
        try:
            given = clocks.from_data(self._turned(value), "clock").time
        except Malformed:
            return AccessResult.TYPE_UNMATCHED
        if given is None:
            return AccessResult.TYPE_UNMATCHED
        shown = self.time_at(self.clock.ms())
        both = given.deviation_min, shown.deviation_min
        apart_s = given.seconds - shown.seconds
        if both[0] is not None and both[1] is not None:
            apart_s -= 60 * (both[0] - both[1])
        self._move_clock(apart_s * 1000 - self.clock.ms() % 1000)
        return AccessResult.SUCCESS

    def _move_clock(self, by_ms: int) -> None:
        """Somebody adjusts the clock: the log has what it showed before, and what it shows then."""
        for code, step_ms in ((books.BEFORE_SET, by_ms), (books.AFTER_SET, 0)):
            self._record_events(books.STANDARD_LOG, [self.logs[books.STANDARD_LOG].note(self.clock.ms(), code)])
            self.clock.shift(step_ms)
        self._snapshot[CLOCK_TIME] = axdr.octet_string(self.stamped(self.clock.ms())[1])

    def time_at(self, at_ms: int) -> MeterTime:
        """What the meter's clock shows when it takes `at_ms` for UTC."""
        local = self._local(at_ms)
        offset, summer = local.utcoffset() or datetime.timedelta(), bool(local.dst())
        shown = MeterTime.from_calendar(local.replace(tzinfo=None), Precision.SECOND, summer)
        deviation_min = int(offset.total_seconds()) // 60 if self.plate.deviation else None
        return MeterTime(shown.seconds, Precision.SECOND, summer, deviation_min)

    def stamped(self, at_ms: int) -> tuple[MeterTime, bytes]:
        """That time and its twelve bytes; without an offset from UTC their status, if any, tells summer time still."""
        time = self.time_at(at_ms)
        octets = clocks.to_bytes(time)
        if time.deviation_min is None and self.plate.clock_status:
            octets = octets[:-1] + bytes((clocks.SUMMER if time.summer else 0,))
        return time, axdr.octets_of(self._turned(axdr.octet_string(octets)), "clock")

    def _turned(self, moment: Data) -> Data:
        """A time as this meter writes it, or as it understands one that it is told."""
        return self.plate.ways.turned(CLOCK_TIME, moment)

    def _turned_minutes(self) -> Data:
        """Minutes from the clock's standard time to UTC, with the sign of its stamps."""
        east = STANDARD_TIME_MIN
        return Data(Tag.LONG, east if self.plate.ways.turns else -east)

    def _understood(self, selection: Selection | None) -> Selection | AccessResult | None:
        """A selection with the ends of its range as this meter understands them, or why it takes none such."""
        ways = self.plate.ways
        try:
            if ways.range_ends is not RangeEnds.LOCAL:
                return ways.selected(selection)
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED if has_offset(selection) else selection
        except MeterError:
            return AccessResult.TYPE_UNMATCHED

    def _local(self, at_ms: int) -> datetime.datetime:
        zone = self.plate.zone or datetime.timezone(datetime.timedelta(minutes=STANDARD_TIME_MIN))
        return datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC).astimezone(zone)

    def pushed_at(self, at_ms: int) -> tuple[dict[Attribute, Data], Shown]:
        """What a push of that instant holds, and the same for the record: clock, name and registers."""
        time = axdr.octet_string(self.stamped(at_ms)[1])
        found = {CLOCK_TIME: time, LOGICAL_DEVICE_NAME: axdr.octet_string(self.plate.logical_name)}
        shown: Shown = {}
        for each in self.plate.registers:
            mantissa = self._mantissa(each, at_ms)
            found[each.attribute] = Data(each.tag, mantissa)
            shown[str(each.attribute)] = _number(each, mantissa)
        return found, shown

    def write_rows(self, now_ms: int) -> None:
        """Put the rows and events that came since the last call into the record, each once."""
        for log in self.logs.values():
            self._record_events(log.name, log.grow(now_ms))
        for quarter in range(self._written + 1, now_ms // QUARTER_MS + 1):
            self._record.append(self._answered_row(quarter * QUARTER_MS))
            self._written = quarter

    def _answered_row(self, at_ms: int) -> Answered:
        shown: Shown = {str(each.attribute): _number(each, self._mantissa(each, at_ms)) for each in self.plate.energies}
        if self._is_doubtful(at_ms):
            shown = {key: {"state": "invalid", "raw": _digits(number)} for key, number in shown.items()}
        serial, server = self.plate.serial, self.plate.access.server
        time = str(self._row_time(at_ms))
        return Answered(at_ms, serial, server, "", None, False, shown, kind="row", time=time)

    def _record_events(self, log: bytes, events: Sequence[books.Event]) -> None:
        for at_ms, code in events:
            shown: Shown = {str(books.code_of(log)): {"m": code, "e": 0, "unit": ""}}
            self._append("event", at_ms, shown)

    def _append(self, kind: str, at_ms: int, shown: Shown) -> None:
        serial, server, time = self.plate.serial, self.plate.access.server, str(self.time_at(at_ms))
        self._record.append(Answered(at_ms, serial, server, "", None, False, shown, kind=kind, time=time))

    def _is_doubtful(self, at_ms: int) -> bool:
        every = self.plate.doubtful_every
        return bool(every) and at_ms // QUARTER_MS % every == 0

    def _mantissa(self, register: Register, at_ms: int) -> int:
        """What the register shows, in its own power of ten; what is smaller is cut off."""
        curve = self._curves[register.name]
        if register.kind is Kind.VOLTAGE:
            return VOLTAGE + curve.power_w(at_ms) % VOLTAGE_SWING
        amount = curve.energy_wh(at_ms) if register.kind is Kind.ENERGY else curve.power_w(at_ms)
        if register.exponent < 0:
            return int(amount * 10**-register.exponent)
        return int(amount // 10**register.exponent)

    def _objects(self) -> tuple[Attribute, ...]:
        registers = (each.attribute for each in self.plate.registers)
        told = (FIRMWARE,) if self.plate.firmware else ()
        return (CLOCK_TIME, LOGICAL_DEVICE_NAME, DEVICE_ID, OWNER_ID, *told, *registers)

    def _fixed(self) -> dict[Attribute, Data]:
        """What never changes."""
        fixed = {
            LOGICAL_DEVICE_NAME: axdr.octet_string(self.plate.logical_name),
            DEVICE_ID: axdr.octet_string(self.plate.serial.encode()),
        }
        if self.plate.firmware:
            fixed[FIRMWARE] = axdr.octet_string(self.plate.firmware.encode())
        for each in self.plate.registers:
            scaler_unit = axdr.structure(Data(Tag.INTEGER, each.exponent), Data(Tag.ENUM, each.code))
            fixed[Attribute(each.attribute.class_id, each.attribute.name, 3)] = scaler_unit
        total = self.plate.energies[0]
        for tariff in books.TARIFFS:
            scaler_unit = axdr.structure(Data(Tag.INTEGER, total.exponent), Data(Tag.ENUM, total.code))
            fixed[Attribute(tariff.class_id, tariff.name, 3)] = scaler_unit
        watts = axdr.structure(Data(Tag.INTEGER, 0), Data(Tag.ENUM, WATT))
        fixed[Attribute(books.MAXIMUM.class_id, books.MAXIMUM.name, 3)] = watts
        return fixed

    def _listed(self) -> tuple[Listed, ...]:
        """What there is, readable all of it."""
        rows = range(1, PROFILE_ENTRIES + 1)
        numbers = {PROFILE: [each for each in rows if each not in UNKNOWN_OF_ROWS], REGISTER: [1, 2, 3]}
        profiles = (LOAD_PROFILE, books.BILLING, *books.LOGS)
        names = [(each.class_id, each.name) for each in self._objects()] + [(PROFILE, each) for each in profiles]
        return tuple(
            Listed(kind, 0, name, tuple(Right(each, READ) for each in numbers.get(kind, [1, 2])))
            for kind, name in names
        )

    def _profiles(self, attribute: Attribute, selection: Selection | None) -> Data | AccessResult:
        """An attribute of one of its profiles."""
        name, now_ms = attribute.name, self.clock.ms()
        self.write_rows(now_ms)
        if name == LOAD_PROFILE:
            return self._profile(attribute.number, selection, now_ms)
        if name == books.BILLING:
            book = books.billing_book(self._billed_columns(), list(self._months(now_ms)))
        elif name in self.logs:
            book = books.log_book(self.logs[name], self.stamped, self.plate.lifo)
        else:
            return AccessResult.OBJECT_UNDEFINED
        return book.get(attribute.number, selection, functools.partial(self._shortened, period_s=0))

    def _bounded(self, attribute: Attribute, found: Data | AccessResult) -> Data | AccessResult:
        """What was found, unless it has more rows than this meter gives at once."""
        most = self.plate.most_rows
        if most and attribute.number == BUFFER and isinstance(found, Data) and isinstance(found.content, tuple):
            return found if len(found.content) <= most else AccessResult.OTHER_REASON
        return found

    def _billed_columns(self) -> tuple[Attribute, ...]:
        totals = [each.attribute for each in self.plate.energies]
        return (totals[0], *books.TARIFFS, *totals[1:], books.MAXIMUM, books.MAXIMUM_TIME)

    def _months(self, now_ms: int) -> Iterator[tuple[MeterTime, Data]]:
        """The rows of the billing profile: one at the first midnight of each month."""
        local = self._local(now_ms)
        for back in reversed(range(books.MONTHS)):
            year, month = divmod(12 * local.year + local.month - 1 - back, 12)
            first = datetime.datetime(year, month + 1, 1, tzinfo=local.tzinfo)
            at_ms = int(first.timestamp()) * 1000
            if at_ms >= BEGAN_MS:
                yield self._month(at_ms)

    def _month(self, at_ms: int) -> tuple[MeterTime, Data]:
        time, octets = self.stamped(at_ms)
        values = {each.attribute: _number(each, self._mantissa(each, at_ms)) for each in self.plate.energies}
        total = self.plate.energies[0]
        first = int(values[total.attribute]["m"]) * 3 // 5
        for tariff, mantissa in zip(books.TARIFFS, (first, int(values[total.attribute]["m"]) - first), strict=True):
            values[tariff] = _number(total, mantissa)
        peak_ms = at_ms - QUARTER_MS * (1 + at_ms // QUARTER_MS % 2_500)
        values[books.MAXIMUM] = {"m": self._curves[total.name].power_w(peak_ms), "e": 0, "unit": "W"}
        if at_ms not in self._billed:
            self._billed.add(at_ms)
            self._append("billing", at_ms, {str(each): number for each, number in values.items()})
        tags = {each.attribute: each.tag for each in self.plate.energies}
        cells = {each: Data(tags.get(each, total.tag), int(number["m"])) for each, number in values.items()}
        cells[books.MAXIMUM_TIME] = axdr.octet_string(self.stamped(peak_ms)[1])
        return time, axdr.structure(axdr.octet_string(octets), *(cells[each] for each in self._billed_columns()))

    def _profile(self, number: int, selection: Selection | None, now_ms: int) -> Data | AccessResult:
        last = now_ms // QUARTER_MS
        quarters = range(max(self._first, last - DEPTH + 1), last + 1)
        if number == BUFFER:
            return self._buffer(quarters[::-1] if self.plate.lifo else quarters, selection)
        attributes = {
            1: axdr.octet_string(LOAD_PROFILE),
            CAPTURE_OBJECTS: axdr.array(*(each.to_data() for each in self._columns())),
            CAPTURE_PERIOD: Data(Tag.DOUBLE_LONG_UNSIGNED, PERIOD_S),
            SORT_METHOD: Data(Tag.ENUM, books.LIFO if self.plate.lifo else books.FIFO),
            ENTRIES_IN_USE: Data(Tag.DOUBLE_LONG_UNSIGNED, len(quarters)),
            PROFILE_ENTRIES: Data(Tag.DOUBLE_LONG_UNSIGNED, DEPTH),
        }
        return attributes.get(number, AccessResult.OBJECT_UNDEFINED)

    def _columns(self) -> tuple[Column, ...]:
        registers = (Column(each.attribute) for each in self.plate.energies)
        return (Column(CLOCK_TIME), Column(ROW_STATUS), *registers)

    def _buffer(self, quarters: range, selection: Selection | None) -> Data | AccessResult:
        times = [self._row_time(quarter * QUARTER_MS) for quarter in quarters]
        sought = [replace(each, deviation_min=None) for each in times] if self.plate.local_search else times
        found = selected(sought, self._columns(), selection)
        if isinstance(found, AccessResult):
            return found
        rows, places = found
        return self._shortened([narrowed(self._row(quarters[n] * QUARTER_MS, times[n]), places) for n in rows])

    def _shortened(self, rows: list[Data], period_s: int = PERIOD_S) -> Data:
        """The rows as this meter sends them."""
        if self.plate.nulls:
            rows = [_compressed(row, before, period_s) for row, before in zip(rows, [None, *rows], strict=False)]
        # A compact array says the types of its rows once: rows with nulls in other places make no such array.
        one_form = len({tuple(cell.tag for cell in axdr.members_of(row, "row")) for row in rows}) <= 1
        return Data(Tag.COMPACT_ARRAY, tuple(rows)) if self.plate.compact and one_form else axdr.array(*rows)

    def _row(self, at_ms: int, time: MeterTime) -> Data:
        doubt = STATUS_DOUBTFUL if self._is_doubtful(at_ms) else 0
        status = Data(Tag.UNSIGNED, doubt | (STATUS_SUMMER if time.summer else 0))
        values = (Data(each.tag, self._mantissa(each, at_ms)) for each in self.plate.energies)
        return axdr.structure(axdr.octet_string(self.stamped(at_ms)[1]), status, *values)


def _digits(number: dict[str, int | str]) -> str:
    """What a display shows of it, without its unit."""
    return f"{Decimal(int(number['m'])).scaleb(int(number['e'])):f}"


def _number(register: Register, mantissa: int) -> dict[str, int | str]:
    return {"m": mantissa, "e": register.exponent, "unit": register.unit}


def _compressed(row: Data, before: Data | None, period_s: int) -> Data:
    """A row with null-data for what is as before, and for a time that is a period later; without one, as before."""
    if before is None:
        return row
    (time, old), *cells = zip(axdr.members_of(row, "row"), axdr.members_of(before, "row"), strict=True)
    follows = _is_next(time, old, period_s) if period_s else time == old
    return axdr.structure(axdr.NULL if follows else time, *(axdr.NULL if new == old else new for new, old in cells))


def _is_next(new: Data, old: Data, period_s: int) -> bool:
    """Whether two cells are times with the same offset and a period between them."""
    if not isinstance(new.content, bytes) or not isinstance(old.content, bytes) or len(new.content) != clocks.SIZE:
        return False
    later, earlier = clocks.from_bytes(new.content).time, clocks.from_bytes(old.content).time
    return (
        later is not None
        and earlier is not None
        and later.deviation_min == earlier.deviation_min
        and later.seconds - earlier.seconds == period_s
    )
