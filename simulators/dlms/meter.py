"""One simulated meter as COSEM objects: a snapshot for each association, a load profile, and the record of both."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from decimal import Decimal

from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import Malformed
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.guard import Vault
from protocols.dlms.listing import OBJECT_LIST, READ, Listed, Right
from protocols.dlms.objects import (
    CLOCK,
    CLOCK_TIME,
    DATA,
    DEVICE_ID,
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
    ENTRY,
    PROFILE_ENTRIES,
    RANGE,
    Column,
)
from protocols.errors import MeterError
from protocols.reading import MeterTime, Precision
from simulators.curve import QUARTER_MS, Curve
from simulators.dlms.plates import DEPTH, PERIOD_S, STANDARD_TIME_MIN, Kind, Plate, Register
from simulators.record import Answered, Record

LOAD_PROFILE = bytes((1, 0, 99, 1, 0, 255))
ROW_STATUS = Attribute(DATA, bytes((0, 0, 96, 10, 1, 255)), VALUE)
OWNER_ID = Attribute(DATA, bytes((0, 0, 96, 1, 1, 255)), VALUE)  # a number that the owner gives the meter
MAX_OWNER_ID = 32  # bytes
UNKNOWN_OF_ROWS = (5, 6)  # attributes of a profile that this meter does not have: how it is sorted, and by what
STATUS_SUMMER = 0x08  # bit of the status word of a row: summer time was active
STATUS_DOUBTFUL = 0x04  # ... its data are not valid
COUNTERS = bytes((0, 0, 43, 1))  # begin of the names of invocation counters; then the client
COUNTED_FROM_S = 1_700_000_000  # a meter of ours that is started again goes on above what it used
VOLTAGE = 2_300  # tenths of a volt, and how far it swings
VOLTAGE_SWING = 60
Shown = dict[str, dict[str, int | str]]


class Meter:
    """One meter that lives in the time of `utc_ms`.

    `first` is the first quarter of its load profile, `written` the last one that is in the record already.
    """

    def __init__(
        self, plate: Plate, record: Record, utc_ms: Callable[[], int], seed: int, first: int, written: int | None
    ) -> None:
        self.plate = plate
        self._record, self._utc_ms = record, utc_ms
        self._first = first
        self._written = first - 1 if written is None else written
        self._curves = {
            each.name: Curve(seed, f"{plate.serial}/{each.curve}", each.mean_wh) for each in plate.registers
        }
        self.vault = Vault(plate.title, Block(max(1, utc_ms() // 1000 - COUNTED_FROM_S), 2**32))
        self._snapshot: dict[Attribute, Data] = {}
        self.extra: dict[Attribute, Data] = {}  # what it shows beside that
        self._owner_id = axdr.octet_string(b"")
        self._row_time = functools.lru_cache(DEPTH)(self.time_at)

    def associated(self, client: int) -> None:
        """Latch what this association shows and put it into the record, before the AARE leaves."""
        now_ms = self._utc_ms()
        self.write_rows(now_ms)
        time = self.time_at(now_ms)
        shown: Shown = {str(CLOCK_TIME): {"time": str(time)}}
        self._snapshot = {CLOCK_TIME: axdr.octet_string(clocks.to_bytes(time))}
        for register in self.plate.registers:
            mantissa = self._mantissa(register, now_ms)
            self._snapshot[register.attribute] = Data(register.tag, mantissa)
            shown[str(register.attribute)] = _number(register, mantissa)
        server = self.plate.access.server
        self._record.append(Answered(now_ms, self.plate.serial, server, "", None, False, shown))

    def get(self, attribute: Attribute, selection: Selection | None, client: int) -> Data | AccessResult:
        """The attribute's data, or why there are none."""
        if attribute.class_id == PROFILE and attribute.name == LOAD_PROFILE:
            return self._profile(attribute.number, selection)
        if selection is not None:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED
        if attribute.number == 1 and any(attribute.name == each.name for each in self._objects()):
            return axdr.octet_string(attribute.name)
        if attribute.class_id == DATA and attribute.name[:4] == COUNTERS and attribute.number == VALUE:
            return Data(Tag.DOUBLE_LONG_UNSIGNED, self.vault.seen.get(attribute.name[4], 0))
        if attribute == OWNER_ID:
            return self._owner_id
        found = self._snapshot.get(attribute) or self._fixed().get(attribute) or self.extra.get(attribute)
        return AccessResult.OBJECT_UNDEFINED if found is None else found

    def set(self, attribute: Attribute, value: Data, client: int) -> AccessResult:
        """The owner's number may be set, to a text of up to 32 bytes; it is kept as long as the meter runs."""
        if attribute != OWNER_ID:
            return AccessResult.READ_WRITE_DENIED
        if value.tag is not Tag.OCTET_STRING or len(axdr.octets_of(value, "owner's number")) > MAX_OWNER_ID:
            return AccessResult.TYPE_UNMATCHED
        self._owner_id = value
        return AccessResult.SUCCESS

    def time_at(self, at_ms: int) -> MeterTime:
        """The meter's clock at an instant."""
        utc = datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)
        if self.plate.zone is None:
            zone: datetime.tzinfo = datetime.timezone(datetime.timedelta(minutes=STANDARD_TIME_MIN))
        else:
            zone = self.plate.zone
        local = utc.astimezone(zone)
        offset, summer = local.utcoffset() or datetime.timedelta(), bool(local.dst())
        shown = MeterTime.from_calendar(local.replace(tzinfo=None), Precision.SECOND, summer)
        return MeterTime(shown.seconds, Precision.SECOND, summer, int(offset.total_seconds()) // 60)

    def pushed_at(self, at_ms: int) -> tuple[dict[Attribute, Data], Shown]:
        """What a push of that instant holds, and the same for the record: clock, name and registers."""
        time = axdr.octet_string(clocks.to_bytes(self.time_at(at_ms)))
        found = {CLOCK_TIME: time, LOGICAL_DEVICE_NAME: axdr.octet_string(self.plate.logical_name)}
        shown: Shown = {}
        for each in self.plate.registers:
            mantissa = self._mantissa(each, at_ms)
            found[each.attribute] = Data(each.tag, mantissa)
            shown[str(each.attribute)] = _number(each, mantissa)
        return found, shown

    def write_rows(self, now_ms: int) -> None:
        """Put the rows that ended since the last call into the record, each once."""
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
        return (CLOCK_TIME, LOGICAL_DEVICE_NAME, DEVICE_ID, OWNER_ID, *registers)

    def _fixed(self) -> dict[Attribute, Data]:
        """What never changes."""
        fixed = {
            LOGICAL_DEVICE_NAME: axdr.octet_string(self.plate.logical_name),
            DEVICE_ID: axdr.octet_string(self.plate.serial.encode()),
            OBJECT_LIST: axdr.array(*(each.to_data() for each in self._listed())),
        }
        for each in self.plate.registers:
            scaler_unit = axdr.structure(Data(Tag.INTEGER, each.exponent), Data(Tag.ENUM, each.code))
            fixed[Attribute(each.attribute.class_id, each.attribute.name, 3)] = scaler_unit
        return fixed

    def _listed(self) -> tuple[Listed, ...]:
        """What there is, readable all of it."""
        rows = range(1, PROFILE_ENTRIES + 1)
        numbers = {PROFILE: [each for each in rows if each not in UNKNOWN_OF_ROWS], REGISTER: [1, 2, 3]}
        names = [(each.class_id, each.name) for each in self._objects()] + [(PROFILE, LOAD_PROFILE)]
        return tuple(
            Listed(kind, 0, name, tuple(Right(each, READ) for each in numbers.get(kind, [1, 2])))
            for kind, name in names
        )

    def _profile(self, number: int, selection: Selection | None) -> Data | AccessResult:
        now_ms = self._utc_ms()
        self.write_rows(now_ms)
        last = now_ms // QUARTER_MS
        quarters = range(max(self._first, last - DEPTH + 1), last + 1)
        if number == BUFFER:
            return self._buffer(quarters, selection)
        attributes = {
            1: axdr.octet_string(LOAD_PROFILE),
            CAPTURE_OBJECTS: axdr.array(*(each.to_data() for each in self._columns())),
            CAPTURE_PERIOD: Data(Tag.DOUBLE_LONG_UNSIGNED, PERIOD_S),
            ENTRIES_IN_USE: Data(Tag.DOUBLE_LONG_UNSIGNED, len(quarters)),
            PROFILE_ENTRIES: Data(Tag.DOUBLE_LONG_UNSIGNED, DEPTH),
        }
        return attributes.get(number, AccessResult.OBJECT_UNDEFINED)

    def _columns(self) -> tuple[Column, ...]:
        registers = (Column(each.attribute) for each in self.plate.energies)
        return (Column(CLOCK_TIME), Column(ROW_STATUS), *registers)

    def _buffer(self, quarters: range, selection: Selection | None) -> Data | AccessResult:
        times = ((quarter * QUARTER_MS, self._row_time(quarter * QUARTER_MS)) for quarter in quarters)
        if selection is None:
            return self._shortened([self._row(at_ms, time) for at_ms, time in times])
        try:
            if selection.selector == RANGE:
                first, last, places = _range(selection.parameters, self._columns())
                chosen = [each for each in times if _not_before(each[1], first) and _not_before(last, each[1])]
            elif selection.selector == ENTRY:
                rows, places = _entries(selection.parameters, len(quarters), len(self._columns()))
                chosen = list(times)[rows]
            else:
                return AccessResult.SCOPE_OF_ACCESS_VIOLATED
        except MeterError:
            return AccessResult.TYPE_UNMATCHED
        return self._shortened([_narrowed(self._row(at_ms, time), places) for at_ms, time in chosen])

    def _shortened(self, rows: list[Data]) -> Data:
        """The rows as this meter sends them."""
        if self.plate.nulls:
            rows = [_compressed(row, before) for row, before in zip(rows, [None, *rows], strict=False)]
        return Data(Tag.COMPACT_ARRAY, tuple(rows)) if self.plate.compact else axdr.array(*rows)

    def _row(self, at_ms: int, time: MeterTime) -> Data:
        doubt = STATUS_DOUBTFUL if self._is_doubtful(at_ms) else 0
        status = Data(Tag.UNSIGNED, doubt | (STATUS_SUMMER if time.summer else 0))
        values = (Data(each.tag, self._mantissa(each, at_ms)) for each in self.plate.energies)
        return axdr.structure(axdr.octet_string(clocks.to_bytes(time)), status, *values)


def _digits(number: dict[str, int | str]) -> str:
    """What a display shows of it, without its unit."""
    return f"{Decimal(int(number['m'])).scaleb(int(number['e'])):f}"


def _number(register: Register, mantissa: int) -> dict[str, int | str]:
    return {"m": mantissa, "e": register.exponent, "unit": register.unit}


def _range(parameters: Data, captured: tuple[Column, ...]) -> tuple[MeterTime, MeterTime, list[int]]:
    """From and to of a range over the clock, and the places of the columns that are wanted."""
    restricting, first, last, wanted = axdr.members_of(parameters, "range", 4)
    if axdr.whole(axdr.members_of(restricting, "range", 4)[0], "range") != CLOCK:
        raise Malformed("the clock as restricting object", "another", "range")
    ends = [clocks.from_data(each, "range").time for each in (first, last)]
    if ends[0] is None or ends[1] is None:
        raise Malformed("two whole times", "less", "range")
    chosen = axdr.members_of(wanted, "range")
    places = [place for place, each in enumerate(captured) if not chosen or each.to_data() in chosen]
    if chosen and len(places) != len(chosen):
        raise Malformed("columns that are captured", "another", "range")
    return ends[0], ends[1], places


def _entries(parameters: Data, rows: int, columns: int) -> tuple[slice, list[int]]:
    """The rows and the places of the columns that an entry selection asks for."""
    numbers = [axdr.whole(each, "entries") for each in axdr.members_of(parameters, "entries", 4)]
    first, last, first_column, last_column = numbers
    if not first or not first_column:
        raise Malformed("entries and columns from 1 on", "0", "entries")
    return slice(first - 1, last or rows), list(range(first_column - 1, min(last_column or columns, columns)))


def _compressed(row: Data, before: Data | None) -> Data:
    """A row with null-data for what is as before, and for a time that is a period later."""
    if before is None:
        return row
    cells = zip(axdr.members_of(row, "row"), axdr.members_of(before, "row"), strict=True)
    return axdr.structure(*(axdr.NULL if new == old or _is_next(new, old) else new for new, old in cells))


def _is_next(new: Data, old: Data) -> bool:
    """Whether two cells are times with the same offset and a period between them."""
    if not isinstance(new.content, bytes) or not isinstance(old.content, bytes) or len(new.content) != clocks.SIZE:
        return False
    later, earlier = clocks.from_bytes(new.content).time, clocks.from_bytes(old.content).time
    return (
        later is not None
        and earlier is not None
        and later.deviation_min == earlier.deviation_min
        and later.seconds - earlier.seconds == PERIOD_S
    )


def _narrowed(row: Data, places: list[int]) -> Data:
    """A row with the columns that are wanted."""
    cells = axdr.members_of(row, "row")
    return axdr.structure(*(cells[place] for place in places))


def _not_before(later: MeterTime, earlier: MeterTime) -> bool:
    """Order by instant where both have a deviation, else as the clock shows them."""
    instants = clocks.utc_ms(later), clocks.utc_ms(earlier)
    if instants[0] is None or instants[1] is None:
        return later.seconds >= earlier.seconds
    return instants[0] >= instants[1]
