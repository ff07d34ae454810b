"""What can be wrong with a DLMS/COSEM answer: one named error each (PLB-M301 to PLB-M324)."""

from __future__ import annotations

from protocols.errors import MeterError

AGAIN = "read the meter again; if it stays so send the answer shown to the maintainers"
LATE = "raise answer_ms if the meter often answers late"
LINE = "check cabling, converter and that no other program talks on this line"


class NoAnswer(MeterError):  # noqa: N818 - named after what happened on the line
    """Not a whole answer came within the timeout, repetitions included."""

    code = "PLB-M301"
    do = (
        "check that the meter is powered, and client, server address and framing are what the meter expects; a slow one"
        " needs answer_ms, one that is silent within an answer pause_ms"
    )


class LinkEnded(MeterError):  # noqa: N818
    """The meter says that there is no link (DM): it has disconnected, or never was connected."""

    code = "PLB-M302"
    do = "the link is set up again at the next read; if it stays so another client holds the meter"


class FrameRejected(MeterError):  # noqa: N818
    """The meter rejected a frame (FRMR)."""

    code = "PLB-M303"
    do = "the link is set up again at the next read; if it stays so send the frame shown to the maintainers"


class StreamEnded(MeterError):  # noqa: N818
    """The connection was closed before the answer was whole."""

    code = "PLB-M304"
    do = "check whether another client holds the meter: many allow one association at a time"


class AssociationRefused(MeterError):  # noqa: N818
    """The meter refused the association; the message names its result and its diagnostic."""

    code = "PLB-M305"
    do = "check client address, authentication and application context in the configuration"


class PasswordRefused(AssociationRefused):
    """The meter refused the password, or wants one."""

    code = "PLB-M306"
    do = "check the meter's password file; do not try again and again: some meters lock after a few failures"


class ExceptionAnswer(MeterError):  # noqa: N818
    """The meter answered with an exception-response: it could not serve the question at all."""

    code = "PLB-M307"
    do = "ask again later where the service is not possible for now; else the meter does not know this service"


class AccessRefused(MeterError):  # noqa: N818
    """The meter answered with a data-access-result instead of data; the message names it."""

    code = "PLB-M308"
    do = "check that this client may read the object; the object list of the meter shows what there is"


class RangeRefused(AccessRefused):
    """The meter refuses a range of rows whose ends say their offset from UTC."""

    code = "PLB-M324"
    do = "write range_ends = \"local\" below the meter's name if it takes ends without an offset; 'profile' tries both"


class ServiceError(MeterError):
    """The meter answered with a confirmed-service-error; the message names it."""

    code = "PLB-M309"
    do = "check client address and application context; ask again later where the meter is busy"


class BadChecksum(MeterError):  # noqa: N818
    """A frame whose header or frame check sequence (HCS, FCS) does not hold."""

    code = "PLB-M310"
    do = LINE


class BadLength(MeterError):  # noqa: N818
    """A length field that the standard does not allow, or that does not fit what came."""

    code = "PLB-M311"
    do = LINE


class WrongAddress(MeterError):  # noqa: N818
    """A good frame between other addresses than those that were asked."""

    code = "PLB-M312"
    do = "check for a second reader on this line and for duplicate addresses"


class WrongSequence(MeterError):  # noqa: N818
    """A good frame whose N(S) or N(R) is not the next one: a repetition or a late one."""

    code = "PLB-M313"
    do = LATE


class WrongPort(MeterError):  # noqa: N818
    """A wrapper message between other wPorts than those that were asked."""

    code = "PLB-M314"
    do = "check client and server address in the configuration"


class WrongInvokeId(MeterError):  # noqa: N818
    """An answer to another question than the one that was asked."""

    code = "PLB-M315"
    do = LATE


class WrongBlock(MeterError):  # noqa: N818
    """A block with another number than the one that was asked."""

    code = "PLB-M316"
    do = LATE


class Malformed(MeterError):  # noqa: N818
    """Bytes that do not follow the encoding (A-XDR, BER or the frame's fields)."""

    code = "PLB-M317"
    do = AGAIN


class CutShort(MeterError):  # noqa: N818
    """Data that end before what they announce."""

    code = "PLB-M318"
    do = f"set pause_ms where the meter is silent within an answer; else {AGAIN}"


class TooMuch(MeterError):  # noqa: N818
    """More than a limit allows: nesting, blocks or bytes of one answer."""

    code = "PLB-M319"
    do = "ask for less at once (a shorter range of the profile); if it stays so tell the maintainers"


class NotSupported(MeterError):  # noqa: N818
    """An answer of a kind that is not supported yet."""

    code = "PLB-M320"
    do = "send the answer shown to the maintainers; the object cannot be read until then"


class Unexpected(MeterError):  # noqa: N818
    """A good answer that does not belong to the question: counted, never taken."""

    code = "PLB-M321"
    do = f"{LATE}; {AGAIN}"


class Babble(MeterError):  # noqa: N818
    """More noise, or more answers to nothing that was asked, than any exchange has."""

    code = "PLB-M322"
    do = LINE


class ColumnsDiffer(MeterError):  # noqa: N818
    """A profile row or buffer that does not have the columns that the profile captures."""

    code = "PLB-M323"
    do = "read the capture objects again: the profile was set up anew; if it stays so tell the maintainers"
