"""What can be wrong with a Modbus answer: one named error each (PLB-M401 to PLB-M429)."""

from __future__ import annotations

from protocols.errors import MeterError


class NoAnswer(MeterError):  # noqa: N818 - named after what happened on the line
    """Not one whole answer came in time."""

    code = "PLB-M401"
    do = "check that the meter is powered and wired, and its unit number; behind a converter also baud rate and parity"


class AnotherTransaction(MeterError):  # noqa: N818
    """Only answers to other questions came."""

    code = "PLB-M402"
    do = "raise the time that the converter waits for its meters, or read this line from one program only"


class AnotherUnit(MeterError):  # noqa: N818
    """The answer to this question names another device."""

    code = "PLB-M403"
    do = "check the unit number; if it stays so, the converter mixes up its meters: update it or replace it"


class WrongLength(MeterError):  # noqa: N818
    """An answer with another number of bytes than was asked for, or that contradicts its own length."""

    code = "PLB-M404"
    do = "read again; if it stays so, the device is not the configured model"


class NotModbus(MeterError):  # noqa: N818
    """Bytes that are no Modbus TCP frame."""

    code = "PLB-M405"
    do = "check host and port; where a converter passes serial bytes on write tcp+rtu://, or set it to Modbus TCP"


class AnotherFunction(MeterError):  # noqa: N818
    """The answer bears another function code than the question."""

    code = "PLB-M406"
    do = "read again; if it stays so, update the converter or the meter"


class BadIdentity(MeterError):  # noqa: N818
    """The identity registers hold something that is no serial number."""

    code = "PLB-M407"
    do = "check that the device is of the configured model"


class BadCheck(MeterError):  # noqa: N818
    """What came on a serial line is no whole frame, or its CRC does not hold."""

    code = "PLB-M408"
    do = "check baud rate and parity, the wiring (A and B, the terminators), and that no other master asks on this line"


class TornValue(MeterError):  # noqa: N818
    """A counter of several registers showed, each time it was read, what does not follow from what it showed before."""

    code = "PLB-M409"
    do = "it is read again by itself; if it stays so, the meter changes its registers while they are read: update it"


class LineNeverRests(MeterError):  # noqa: N818
    """More came on a serial line than any answer has."""

    code = "PLB-M421"
    do = "look for a device that sends without being asked: take the meters off the line one by one"


class RefusedError(MeterError):
    """The device answered with an exception code that the standard does not define."""

    code = "PLB-M410"
    do = "see the meter's manual for this exception code"


class IllegalFunction(RefusedError):  # noqa: N818
    """Exception 01: illegal function."""

    code = "PLB-M411"
    do = "check that the device is of the configured model: it does not know this way of reading"


class IllegalAddress(RefusedError):  # noqa: N818
    """Exception 02: illegal data address."""

    code = "PLB-M412"
    do = "check that the device is of the configured model: it does not have these registers"


class IllegalValue(RefusedError):  # noqa: N818
    """Exception 03: illegal data value, for instance too many registers at once."""

    code = "PLB-M413"
    do = "check that the device is of the configured model: it does not give so many registers at once"


class DeviceFailure(RefusedError):  # noqa: N818
    """Exception 04: the device failed."""

    code = "PLB-M414"
    do = "look at the meter's display for an error; have it replaced if it stays so"


class Acknowledged(RefusedError):  # noqa: N818
    """Exception 05: acknowledged, the device needs more time."""

    code = "PLB-M415"
    do = "it is asked again by itself; if it stays so, see the meter's manual"


class DeviceBusy(RefusedError):  # noqa: N818
    """Exception 06: the device is busy."""

    code = "PLB-M416"
    do = "it is asked again by itself; if it stays so, another program reads this meter too often"


class NegativeAcknowledge(RefusedError):  # noqa: N818
    """Exception 07: negative acknowledge."""

    code = "PLB-M417"
    do = "see the meter's manual"


class MemoryParity(RefusedError):  # noqa: N818
    """Exception 08: memory parity error."""

    code = "PLB-M418"
    do = "the meter's memory is damaged: have it replaced if it stays so"


class GatewayPath(RefusedError):  # noqa: N818
    """Exception 0A: gateway path unavailable."""

    code = "PLB-M419"
    do = "the converter is misconfigured or overloaded: check which of its ports this unit number belongs to"


class GatewayTarget(RefusedError):  # noqa: N818
    """Exception 0B: gateway target device failed to respond."""

    code = "PLB-M420"
    do = "the converter works, the meter behind it does not answer: check its supply, wiring and unit number"


# MODBUS Application Protocol V1.1b3, 7: exception codes. 07 stands in older editions only.
EXCEPTIONS: dict[int, type[RefusedError]] = {
    1: IllegalFunction,
    2: IllegalAddress,
    3: IllegalValue,
    4: DeviceFailure,
    5: Acknowledged,
    6: DeviceBusy,
    7: NegativeAcknowledge,
    8: MemoryParity,
    10: GatewayPath,
    11: GatewayTarget,
}


def refused(exception: int, where: str) -> RefusedError:
    """The error for an exception code."""
    return EXCEPTIONS.get(exception, RefusedError)("registers", f"exception {exception:02x}", where)
