"""How much of its time each bus needs for its meters: what a technician wants to know before, not after.

M-Bus: `protocols/mbus/timing` with the slowest legal meter, for an answer of mean and of greatest length; a meter with
a secondary address is selected before and deselected after it. Over TCP every question has a round trip, too. Each
meter is asked once a slot: repeated questions, and second looks at a reading that is hard to believe, come on top. DLMS
and Modbus over TCP: questions and answers, each with an assumed round trip; profiles are counted as two blocks a visit.
DLMS on a serial line: every frame of both associations of a visit at the line's speed, and an assumed time for each
answer, at worst the one that is configured. Modbus RTU: every block of the model at the line's speed, likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config import Bus, Device, DlmsBus, DlmsDevice, MbusBus, MbusDevice, ModbusBus, ModbusDevice
from protocols.dlms.timing import Timing as LineTiming
from protocols.mbus.timing import Timing
from protocols.modbus.registers import WORD
from protocols.modbus.timing import Timing as RtuTiming

MEAN_BYTES = 98  # of an M-Bus answer, over the corpus (FACTS 2)
LONGEST_BYTES = 255  # the longest that one length byte can announce, about
ROUND_TRIP_MS = 250  # assumed of one question over TCP: a serial server at 9600 baud behind it, or a mobile link
SELECTED_TURNS = 3  # selection, question, deselection
DLMS_OPENING = 4  # AARQ, release, device id, clock
HLS_PROOF = 1
HDLC_OPENING = 2  # SNRM, DISC
PROFILE_TURNS = 2  # the rows of a visit in two blocks
LINE_TURNS = 6  # of an association on a serial line: SNRM, AARQ, name, device id, RLRQ, DISC
LINE_PROFILE_TURNS = 3  # columns, capture period, rows
LINE_COLUMNS = 4  # registers that a load profile captures, each with a scaler
LINE_QUESTION, LINE_ANSWER = 30, 30  # characters of a frame, about
ROW_BYTES, COLUMNS_BYTES = 50, 120  # of one row, and of the list of columns
ROW_S = 900
RTU_QUESTION, RTU_FRAME = 8, 5  # characters of a question, and of an answer beside its registers
OPENING_MS, SLOW_OPENING_MS = 3_000, 7_000  # mode E: 36 characters at 300 baud, three answers, the change of speed
LINE_ANSWER_MS = 100  # assumed from our frame to the meter's
MODBUS_ANSWER_MS = 50  # assumed of a meter on an RTU line
FULL_PERMILLE = 1_000
BUSY_PERMILLE = 800  # above it one repeated question makes a slot late


@dataclass(frozen=True, slots=True)
class Forecast:
    """The bus time of one round of all meters, and the share of the time that is needed, in thousandths."""

    bus: str
    meters: int
    round_ms: int
    permille: int
    worst_round_ms: int
    worst_permille: int
    shortest_s: int
    longest_s: int
    assumption: str

    @property
    def too_slow(self) -> bool:
        """The meters cannot be read as often as they should."""
        return self.permille > FULL_PERMILLE

    @property
    def tight(self) -> bool:
        """They can, but not with long answers or repetitions."""
        return not self.too_slow and self.worst_permille > BUSY_PERMILLE

    def __str__(self) -> str:
        many = f"{self.meters} meter{'' if self.meters == 1 else 's'}"
        usual = f"{_share(self.round_ms, self)} ({_percent(self.permille)})"
        worst = f"; at worst {_share(self.worst_round_ms, self)} ({_percent(self.worst_permille)})"
        text = f"{many} need {usual}: too slow" if self.too_slow else f"{many}, {usual}"
        return f"{text}{'' if self.worst_permille == self.permille else worst}; {self.assumption}"


def forecast(bus: Bus) -> Forecast:
    """The forecast of one bus."""
    usual = [_time_ms(bus, device, MEAN_BYTES) for device in bus.device]
    worst = [_time_ms(bus, device, LONGEST_BYTES) for device in bus.device]
    cadences = [device.every_s for device in bus.device]
    return Forecast(
        bus.name,
        len(bus.device),
        sum(usual),
        _permille(usual, bus.device),
        sum(worst),
        _permille(worst, bus.device),
        min(cadences),
        max(cadences),
        _assumption(bus),
    )


def _time_ms(bus: Bus, device: Device, size: int) -> int:
    if isinstance(bus, MbusBus):
        selected = isinstance(device, MbusDevice) and device.secondary is not None
        trips_ms = 0 if bus.url is None else ROUND_TRIP_MS * (SELECTED_TURNS if selected else 1)
        return Timing(bus.baud).slowest_ms(size, reset=selected, select=selected) + trips_ms
    if isinstance(bus, DlmsBus) and bus.on_line and isinstance(device, DlmsDevice):
        from gateway.dlms_access import answer_ms  # noqa: PLC0415 - the DLMS part is read where there are such meters

        return _line_ms(bus, device, LINE_ANSWER_MS if size == MEAN_BYTES else answer_ms(bus, device))
    if isinstance(bus, DlmsBus) and isinstance(device, DlmsDevice):
        turns = DLMS_OPENING + len(device.registers) + (PROFILE_TURNS if device.profile else 0)
        turns += HLS_PROOF if device.auth.startswith("hls") else 0
        return ROUND_TRIP_MS * (turns + (HDLC_OPENING if (bus.url or "").startswith("tcp+hdlc") else 0))
    if isinstance(bus, ModbusBus) and isinstance(device, ModbusDevice):
        if bus.rtu:
            return _rtu_ms(bus, device, MODBUS_ANSWER_MS if size == MEAN_BYTES else bus.answer_ms)
        return ROUND_TRIP_MS * len(_blocks(device.model))
    return ROUND_TRIP_MS


def _line_ms(bus: DlmsBus, device: DlmsDevice, answer_ms: int) -> int:
    """A visit to a meter on a serial line: what it shows, then its rows in an association of their own."""
    turns, octets = LINE_TURNS + 1 + 2 * len(device.registers), 0
    if device.profile:
        turns += LINE_TURNS + LINE_PROFILE_TURNS + LINE_COLUMNS
        octets = COLUMNS_BYTES + ROW_BYTES * max(1, device.every_s // ROW_S)
    octets += turns * (LINE_QUESTION + LINE_ANSWER)
    trip_ms = answer_ms + (ROUND_TRIP_MS if bus.url else 0)
    openings_ms = 0
    if bus.opening == "mode-e":
        openings_ms = (2 if device.profile else 1) * (OPENING_MS if answer_ms == LINE_ANSWER_MS else SLOW_OPENING_MS)
    return LineTiming(bus.baud).characters_ms(octets) + turns * trip_ms + openings_ms


def _rtu_ms(bus: ModbusBus, device: ModbusDevice, answer_ms: int) -> int:
    """A visit to a meter on an RTU line: each question, its answer, and the silence before both."""
    timing, counts = RtuTiming(bus.baud), _blocks(device.model)
    octets = sum(RTU_QUESTION + RTU_FRAME + WORD * count for count in counts)
    trip_ms = answer_ms + timing.gap_ms() + (ROUND_TRIP_MS if bus.url else 0)
    return timing.characters_ms(octets) + len(counts) * trip_ms


def _blocks(model: str) -> list[int]:
    """How many registers each question for a Modbus model has: those for who it is, and its blocks, torn ones twice."""
    from protocols.modbus import torn  # noqa: PLC0415
    from protocols.modbus.blocks import plan  # noqa: PLC0415
    from protocols.models import modbus  # noqa: PLC0415

    found = modbus.load(model)
    counts = [] if found.serial is None else [found.serial.words]
    counts += [] if found.code is None else [found.code.register.words]
    for span in plan(found.registers, found.largest_block, found.largest_gap):
        counts += [span.count] * (2 if torn.may_be(span) else 1)
    return counts


def _permille(times_ms: list[int], devices: tuple[Device, ...]) -> int:
    shares = (time_ms / each.every_s for time_ms, each in zip(times_ms, devices, strict=True))
    return -int(-sum(shares) // 1)


def _assumption(bus: Bus) -> str:
    if isinstance(bus, MbusBus):
        trip = "" if bus.url is None else f", {ROUND_TRIP_MS} ms to the converter and back"
        if bus.url is not None and bus.url.startswith("tcp://"):
            trip += ", which must be set to this speed itself"
        sizes = f"answers of {MEAN_BYTES} bytes, at worst {LONGEST_BYTES}"
        return f"M-Bus at {bus.baud} baud, slowest legal meter, {sizes}{trip}; each asked once a slot"
    if isinstance(bus, DlmsBus) and bus.on_line:
        trip = "" if bus.url is None else f", {ROUND_TRIP_MS} ms to the converter and back"
        return f"HDLC at {bus.baud} baud, {LINE_ANSWER_MS} ms for each answer, at worst {bus.answer_ms} ms{trip}"
    if isinstance(bus, ModbusBus) and bus.rtu:
        trip = "" if bus.url is None else f", {ROUND_TRIP_MS} ms to the converter and back"
        return (
            f"Modbus RTU at {bus.baud} baud, {MODBUS_ANSWER_MS} ms for each answer, at worst {bus.answer_ms} ms{trip}"
        )
    return f"assumed: {ROUND_TRIP_MS} ms for each question and answer"


def _share(round_ms: int, found: Forecast) -> str:
    if found.shortest_s == found.longest_s:
        return f"{_duration(round_ms)} of each {_duration(found.longest_s * 1000)}"
    return f"{_duration(round_ms)} for one round of cadences from {found.shortest_s} to {found.longest_s} s"


def _duration(ms: int) -> str:
    if ms < 120_000 or (ms % 60_000 and ms < 600_000):
        return f"{ms / 1000:.1f} s".replace(".0 s", " s")
    return f"{ms / 60_000:.1f} min".replace(".0 min", " min")


def _percent(permille: int) -> str:
    return f"{permille / 10:.1f} %"
