"""What can be wrong with an M-Bus answer: one named error each (PLB-M101 to PLB-M133)."""

from __future__ import annotations

from protocols.errors import MeterError


class NoAnswer(MeterError):  # noqa: N818 - named after what happened on the bus
    """Not one byte came within the first-byte timeout, retries included."""

    code = "PLB-M101"
    do = "check that the meter is connected and powered, and that it has this address and baud rate"


class BadStart(MeterError):  # noqa: N818
    """A frame that begins with neither E5, 10 nor 68."""

    code = "PLB-M102"
    do = "check baud rate and parity (8E1), and that nothing else talks on this line"


class LengthsDiffer(MeterError):  # noqa: N818
    """The two length fields of a long frame are not equal."""

    code = "PLB-M103"
    do = "check cabling, and that no two meters share this address"


class BadSecondStart(MeterError):  # noqa: N818
    """The fourth byte of a long frame is not 68."""

    code = "PLB-M104"
    do = "check cabling, and that no two meters share this address"


class BadStop(MeterError):  # noqa: N818
    """The last byte of a frame is not 16."""

    code = "PLB-M105"
    do = "check cabling, and that no two meters share this address"


class BadChecksum(MeterError):  # noqa: N818
    """The sum of control, address and data is not the checksum that was sent."""

    code = "PLB-M106"
    do = "check cabling and bus load, and that no two meters share this address (a collision looks like this)"


class WrongDirection(MeterError):  # noqa: N818
    """A frame of a master where a meter's reply was expected."""

    code = "PLB-M107"
    do = "disconnect the second master (another reader or converter) from this bus"


class WrongAddress(MeterError):  # noqa: N818
    """A reply from an address that was not asked."""

    code = "PLB-M108"
    do = "raise the timeout if the same meter often answers late; check for duplicate addresses"


class CutShort(MeterError):  # noqa: N818
    """A frame that began and did not end before the line fell silent."""

    code = "PLB-M109"
    do = "check cabling and supply of the meter; raise the adapter slack on slow converters"


class Babble(MeterError):  # noqa: N818
    """More bytes than any answer has."""

    code = "PLB-M110"
    do = "disconnect meters one by one until the line is quiet: one of them talks without being asked"


class ApplicationFault(MeterError):  # noqa: N818
    """The meter answered with an application error (CI 70) instead of values."""

    code = "PLB-M111"
    do = "ask again later when the meter is busy; otherwise see the meter's manual for this code"


class NotSupported(MeterError):  # noqa: N818
    """An answer of a kind that is not supported yet."""

    code = "PLB-M112"
    do = "send the telegram shown to the maintainers; the meter cannot be read until then"


class HeaderCutShort(MeterError):  # noqa: N818
    """A telegram that is shorter than its own header."""

    code = "PLB-M113"
    do = "read the meter again; if it stays so its telegram is not M-Bus"


class Encrypted(MeterError):  # noqa: N818
    """The telegram says that it is encrypted, and its data do not decode."""

    code = "PLB-M115"
    do = "switch the encryption of the wired interface off in the meter"


class NotAnAnswer(MeterError):  # noqa: N818
    """A meter's frame whose control field is not RSP_UD, or an acknowledgement where values were asked."""

    code = "PLB-M116"
    do = "read the meter again; if it stays so this device does not speak EN 13757-3"


class OnlyNoise(MeterError):  # noqa: N818
    """Bytes came, none of them begins a frame."""

    code = "PLB-M117"
    do = "check baud rate and parity (8E1), polarity and cabling"


class BadLength(MeterError):  # noqa: N818
    """A length field or a frame size that the standard does not allow."""

    code = "PLB-M118"
    do = "check cabling, and that no two meters share this address"


class RecordCutShort(MeterError):  # noqa: N818
    """A data record that does not end inside its telegram; earlier records are kept and the telegram is partial."""

    code = "PLB-M119"
    do = "read the meter again; if it stays so send the telegram to the maintainers"


class AlarmReport(MeterError):  # noqa: N818
    """The meter answered with an alarm (CI 71) instead of values."""

    code = "PLB-M120"
    do = "see the meter's manual for this alarm; read the meter again when it is dealt with"


class NotHex(MeterError):  # noqa: N818
    """A telegram to be explained that is not written in hexadecimal digits."""

    code = "PLB-M121"
    do = "write the bytes of the telegram as pairs of hexadecimal digits; blanks, colons, line ends and 0x are fine"


class TelegramLost(MeterError):  # noqa: N818
    """A telegram of an answer in several got lost, and the meter sends it no second time."""

    code = "PLB-M122"
    do = "check cabling and bus load; a meter that ignores the frame count bit cannot be read whole on a bad line"


class OldTelegram(MeterError):  # noqa: N818
    """Only the telegram of the read before came, of a meter that counts its answers; it is never taken twice."""

    code = "PLB-M123"
    do = "check that the meter is powered; start its converter anew, which may hold back old answers"


class NotObeyed(MeterError):  # noqa: N818
    """A meter that was given an order, and shows afterwards that it did not do it."""

    code = "PLB-M130"
    do = "see the meter's manual: many want a button, a seal or a setting opened before they take this over the bus"


class AddressTaken(MeterError):  # noqa: N818
    """The primary address that a meter was to get is another one's."""

    code = "PLB-M131"
    do = "choose a free one ('plomba-gateway scan --primary' shows which are taken)"


class MeterLost(MeterError):  # noqa: N818
    """A meter that answers neither at the speed it had nor at the one it was told."""

    code = "PLB-M132"
    do = "wait 10 minutes: a meter that hears nothing at its new speed goes back to the old one; then read it at both"


class ClockNotSettable(MeterError):  # noqa: N818
    """A meter whose model says that its clock is not set over the bus, or of which no model says that it is."""

    code = "PLB-M133"
    do = "set it at the meter or with the maker's tool; where no model says anything --any-model tries it"
