"""Secondary addresses (EN 13757-3): naming a meter by its plate, selecting it, and the read of the selected one.

A selection (CI 52 to address FD) names identification, manufacturer, version and medium, low byte first; F in a digit,
FFFF and FF mean any. The meter that it fits answers E5 and then at FD, every other one is deselected. SND_NKE to FD
deselects, too. Rules:

* A reply at FD bears the meter's own primary address, which says nothing. Only a reply whose header names what was
  selected is taken: another meter's late answer is discarded and counted, and so is one without that header.
* Every read selects, because another read may have selected in between, and ends with a deselection.
* A meter that obeys the standard forgets its frame count bit when it is selected; others do not. The bit is kept per
  meter and toggled over selections, which is right for both. After a failure it is not known: select, SND_NKE (which
  only a selected meter answers), and select again.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.mbus import link, telegram
from protocols.mbus.faults import NotAnAnswer, WrongAddress
from protocols.mbus.link import LONG_START, STOP, Frame
from protocols.mbus.pymeterbus import SELECTED, snd_nke
from protocols.mbus.session import Event, Route, State, Steps

SND_UD = 0x73  # with FCB and FCV, as other masters send it
SELECT = 0x52
SIZE = 8  # bytes of a secondary address
DIGITS = 8
ANY_MANUFACTURER = 0xFFFF
ANY = 0xFF
HEX = frozenset("0123456789ABCDEF")

STEPS: Steps = {
    (State.FIND, Event.ACK): State.RESET,
    (State.FIND, Event.NOTHING): State.FIND,
    (State.FIND, Event.GIVEN_UP): State.FAILED,
    (State.FIND, Event.FLOODED): State.FAILED,
    (State.RESET, Event.ACK): State.SELECT,
    (State.RESET, Event.NOTHING): State.RESET,
    (State.RESET, Event.GIVEN_UP): State.SELECT,  # a meter that does not know this is read all the same
    (State.RESET, Event.FLOODED): State.FAILED,
    (State.SELECT, Event.ACK): State.ASK,
    (State.SELECT, Event.NOTHING): State.SELECT,
    (State.SELECT, Event.GIVEN_UP): State.FAILED,
    (State.SELECT, Event.FLOODED): State.FAILED,
    (State.ASK, Event.LAST): State.RELEASE,
    (State.ASK, Event.MORE): State.ASK,
    (State.ASK, Event.NOTHING): State.ASK,
    (State.ASK, Event.CIRCLE): State.FIND,
    (State.ASK, Event.GIVEN_UP): State.FAILED,
    (State.ASK, Event.FLOODED): State.FAILED,
    (State.RELEASE, Event.ACK): State.DONE,
    (State.RELEASE, Event.GIVEN_UP): State.DONE,
    (State.RELEASE, Event.FLOODED): State.DONE,
}


@dataclass(frozen=True, slots=True)
class Secondary:
    """A secondary address, or a pattern of several: 8 hex digits (F: any), code of manufacturer, version, medium."""

    id: str = "F" * DIGITS
    manufacturer: int = ANY_MANUFACTURER
    version: int = ANY
    medium: int = ANY

    def __post_init__(self) -> None:
        if len(self.id) != DIGITS or not set(self.id) <= HEX:
            raise ValueError(f"expected 8 digits 0-9 and A-F as identification, got {self.id!r}")
        if not 0 <= self.manufacturer <= ANY_MANUFACTURER:
            raise ValueError(f"expected a manufacturer code of 2 bytes, got {self.manufacturer}")
        if not (0 <= self.version <= ANY and 0 <= self.medium <= ANY):
            raise ValueError(f"expected version and medium 0 to 255, got {self.version} and {self.medium}")

    @classmethod
    def of(cls, written: str) -> Secondary:
        """An address as `str` writes it, or its 8 digits alone.

        Raises:
            ValueError: it is neither.
        """
        if len(written) not in (DIGITS, 2 * SIZE) or not set(written.upper()) <= HEX:
            raise ValueError(f"expected 8 or 16 digits 0-9 and A-F as secondary address, got {written!r}")
        octets = bytes.fromhex(written.ljust(2 * SIZE, "F"))
        return cls(written[:DIGITS].upper(), int.from_bytes(octets[4:6], "little"), octets[6], octets[7])

    def __str__(self) -> str:
        """16 hex digits as other masters write it: the digits, manufacturer low byte first, version, medium."""
        return self.id + self.to_bytes()[4:].hex().upper()

    def to_bytes(self) -> bytes:
        """As it stands in a selection and in a header with CI 72."""
        return (
            bytes.fromhex(self.id)[::-1] + self.manufacturer.to_bytes(2, "little") + bytes((self.version, self.medium))
        )

    @property
    def whole(self) -> bool:
        """Whether it names one meter: nothing in it is any."""
        return "F" not in self.id and self.manufacturer != ANY_MANUFACTURER and ANY not in (self.version, self.medium)

    def fits(self, meter: Secondary) -> bool:
        """Whether a meter with this address obeys a selection by this pattern."""
        return (
            all(mine in ("F", its) for mine, its in zip(self.id, meter.id, strict=True))
            and self.manufacturer in (ANY_MANUFACTURER, meter.manufacturer)
            and self.version in (ANY, meter.version)
            and self.medium in (ANY, meter.medium)
        )

    def meets(self, other: Secondary) -> bool:
        """Whether there may be a meter that obeys a selection by this pattern and one by the other."""
        return (
            all("F" in pair or pair[0] == pair[1] for pair in zip(self.id, other.id, strict=True))
            and (ANY_MANUFACTURER in (self.manufacturer, other.manufacturer) or self.manufacturer == other.manufacturer)
            and (ANY in (self.version, other.version) or self.version == other.version)
            and (ANY in (self.medium, other.medium) or self.medium == other.medium)
        )


def of_header(frame: Frame) -> Secondary | None:
    """The secondary address in the header of a reply; None where it has none."""
    if frame.ci not in (telegram.LONG_LOW, telegram.LONG_HIGH) or len(frame.body) < telegram.LONG_SIZE:
        return None
    body, order = frame.body, -1 if frame.ci == telegram.LONG_LOW else 1
    digits = body[:4][::order].hex().upper()
    return Secondary(digits, int.from_bytes(body[4:6][::order], "big"), body[6], body[7])


def select(wanted: Secondary) -> bytes:
    """The selection of what `wanted` fits; a selected meter answers E5."""
    inner = bytes((SND_UD, SELECTED, SELECT)) + wanted.to_bytes()
    head = bytes((LONG_START, len(inner), len(inner), LONG_START))
    return head + inner + bytes((sum(inner) & 0xFF, STOP))


def deselect() -> bytes:
    """SND_NKE to FD: the selected meter answers E5 and is selected no more."""
    return snd_nke(SELECTED)


def check_reply(frame: Frame, wanted: Secondary) -> None:
    """Refuse a frame that is not the data reply of a meter that `wanted` fits.

    Raises:
        NotAnAnswer: not a data reply, or one without a secondary address.
        WrongDirection: a master sent it.
        WrongAddress: another meter sent it.
    """
    link.check_reply(frame, SELECTED)
    found, where = of_header(frame), f"answer of {wanted}"
    if found is None:
        raise NotAnAnswer("a header with a secondary address", f"CI {frame.ci:02x}", where)
    if not wanted.fits(found):
        raise WrongAddress(f"secondary address {wanted}", str(found), where)


def selected(wanted: Secondary) -> Route:
    """The way to a meter by its secondary address; keep one `SlaveState` for each."""
    return Route(
        f"secondary address {wanted}",
        SELECTED,
        STEPS,
        State.SELECT,
        State.FIND,
        {
            State.FIND: select(wanted),
            State.RESET: deselect(),
            State.SELECT: select(wanted),
            State.RELEASE: deselect(),
        },
        lambda frame: check_reply(frame, wanted),
    )
