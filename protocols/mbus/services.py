"""What a master orders a meter to do (EN 13757-3): SND_UD with CI 50, 51 or B8-BF; the meter answers E5.

E5 says that the order was heard, not that it was obeyed, and it bears no address: who gives an order reads the meter
afterwards. An order may be repeated as it is: each says what is to be, not what is to change.

A primary address is reset first, so that the order's frame count bit is new. A secondary one is selected, with the
frame count bit set; the order that follows bears the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.mbus import link, select
from protocols.mbus.link import LONG_START, STOP
from protocols.mbus.pymeterbus import MAX_PRIMARY, SELECTED, snd_nke
from protocols.mbus.select import Secondary
from protocols.mbus.session import Event, Route, State, Steps
from protocols.mbus.timing import BAUDS
from protocols.reading import MeterTime, Precision

SND_UD, SND_UD_FCB = 0x53, 0x73
APPLICATION_RESET, DATA_SEND, FIRST_BAUD = 0x50, 0x51, 0xB8
ADDRESS_RECORD = bytes((0x01, 0x7A))  # one byte, bus address
CLOCK_F, CLOCK_I = bytes((0x04, 0x6D)), bytes((0x06, 0x6D))  # date and time in four bytes, or in six with seconds
SUB_CODES = 0xFF
YEARS_F = range(1900, 2300)  # what two hundred-year bits can say
YEARS_I = range(1981, 2081)  # it has none: readers agree on this window


@dataclass(frozen=True, slots=True)
class Order:
    """CI and what follows it; `speaks_on` is False where the meter does not hear this line's speed any more."""

    name: str
    ci: int
    data: bytes = b""
    speaks_on: bool = True


def _steps(*ways: State) -> Steps:
    """One acknowledged question after the other; silence repeats each, and gives up."""
    steps: dict[tuple[State, Event], State] = {}
    for at, state in enumerate(ways):
        steps[state, Event.ACK] = ways[at + 1] if at + 1 < len(ways) else State.DONE
        steps[state, Event.NOTHING] = state
        steps[state, Event.GIVEN_UP] = steps[state, Event.FLOODED] = State.FAILED
    return steps


PRIMARY = {**_steps(State.RESET, State.ORDER), (State.RESET, Event.GIVEN_UP): State.ORDER}  # some know no SND_NKE
RELEASED = {
    (State.RELEASE, Event.ACK): State.DONE,
    (State.RELEASE, Event.GIVEN_UP): State.DONE,
    (State.RELEASE, Event.FLOODED): State.DONE,
}
LEAVING = _steps(State.SELECT, State.ORDER)
SECONDARY = {**LEAVING, **RELEASED, (State.ORDER, Event.ACK): State.RELEASE}


def application_reset(sub_code: int | None = None) -> Order:
    """Back to the first telegram, or to the one that the sub-code chooses (upper 4 bits: which kind; 0-255).

    Raises:
        ValueError: the sub-code is none.
    """
    if sub_code is not None and not 0 <= sub_code <= SUB_CODES:
        raise ValueError(f"expected a sub-code from 0 to {SUB_CODES}, got {sub_code}")
    return Order("application reset", APPLICATION_RESET, b"" if sub_code is None else bytes((sub_code,)))


def set_address(address: int) -> Order:
    """The meter's primary address, from 1 to 250.

    Raises:
        ValueError: another one.
    """
    if not 1 <= address <= MAX_PRIMARY:
        raise ValueError(f"expected a primary address from 1 to {MAX_PRIMARY}, got {address}")
    return Order(f"primary address {address}", DATA_SEND, ADDRESS_RECORD + bytes((address,)))


def set_baud(baud: int) -> Order:
    """The speed that the meter speaks from now on; it acknowledges at the old one.

    Raises:
        ValueError: not one of `BAUDS`.
    """
    if baud not in BAUDS:
        raise ValueError(f"expected one of {', '.join(map(str, BAUDS))} baud, got {baud}")
    return Order(f"{baud} baud", FIRST_BAUD + BAUDS.index(baud), speaks_on=False)


def set_clock(time: MeterTime, head: bytes = b"", ci: int = DATA_SEND) -> Order:
    """The meter's calendar time: type I where it has seconds, else type F.

    `head` is the data and value information that stands before it, where that is another than usual, `ci` the order's.

    Raises:
        ValueError: a year that the type cannot say, or a day without a time.
    """
    shown = time.calendar()
    years = YEARS_I if time.precision is Precision.SECOND else YEARS_F
    if shown.year not in years or time.precision is Precision.DAY:
        raise ValueError(f"expected a time of the years {years[0]} to {years[-1]}, got {time}")
    year = shown.year % 100
    day = bytes(((year & 7) << 5 | shown.day, (year >> 3) << 4 | shown.month))
    if time.precision is Precision.SECOND:
        week, weekday = shown.isocalendar()[1:]
        first = bytes((time.summer << 6 | shown.second, shown.minute, weekday << 5 | shown.hour))
        return Order(f"clock {time}", ci, (head or CLOCK_I) + first + day + bytes((week,)))
    hour = time.summer << 7 | (shown.year - 1900) // 100 << 5 | shown.hour
    return Order(f"clock {time}", ci, (head or CLOCK_F) + bytes((shown.minute, hour)) + day)


def to_bytes(order: Order, address: int) -> bytes:
    """The frame to a primary address, or to FD: the selected meter."""
    inner = bytes((SND_UD if address == SELECTED else SND_UD_FCB, address, order.ci)) + order.data
    return bytes((LONG_START, len(inner), len(inner), LONG_START)) + inner + bytes((sum(inner) & 0xFF, STOP))


def primary(order: Order, address: int) -> Route:
    """The way of an order to a primary address; a session on it ends with no telegrams."""
    questions = {State.RESET: snd_nke(address), State.ORDER: to_bytes(order, address)}
    return _route(order, f"address {address}", address, PRIMARY, State.RESET, questions)


def selected(order: Order, wanted: Secondary) -> Route:
    """The way of an order to the meter with a secondary address."""
    steps = SECONDARY if order.speaks_on else LEAVING
    questions = {
        State.SELECT: select.select(wanted),
        State.ORDER: to_bytes(order, SELECTED),
        State.RELEASE: select.deselect(),
    }
    return _route(order, f"secondary address {wanted}", SELECTED, steps, State.SELECT, questions)


def _route(
    order: Order, where: str, address: int, steps: Steps, first: State, questions: Mapping[State, bytes]
) -> Route:
    name = f"{order.name} to {where}"
    return Route(name, address, steps, first, first, questions, lambda frame: link.check_reply(frame, address))
