"""What a meter may answer: one value for each APDU (Green Book 9.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocols.dlms import action, association, get
from protocols.dlms import set as setting
from protocols.dlms.association import AssociationResponse
from protocols.dlms.breaches import CounterRefused, ProofRefused
from protocols.dlms.faults import CutShort, ExceptionAnswer, NotSupported, ServiceError

EXCEPTION = 0xD8
SHOWN = 16
SERVICE_NOT_ALLOWED, SERVICE_UNKNOWN = 1, 2
OPERATION_NOT_POSSIBLE, SERVICE_NOT_SUPPORTED, OTHER_REASON, PDU_TOO_LONG = 1, 2, 3, 4
DECIPHERING_ERROR, COUNTER_ERROR = 5, 6

STATE_ERRORS = {SERVICE_NOT_ALLOWED: "service not allowed", SERVICE_UNKNOWN: "service unknown"}
SERVICE_ERRORS = {
    OPERATION_NOT_POSSIBLE: "operation not possible",
    SERVICE_NOT_SUPPORTED: "service not supported",
    OTHER_REASON: "other reason",
    PDU_TOO_LONG: "PDU too long",
    DECIPHERING_ERROR: "deciphering error",
    COUNTER_ERROR: "invocation counter error",
}


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """The meter could not serve a question at all."""

    state_error: int
    service_error: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((EXCEPTION, self.state_error, self.service_error))

    def error(self, where: str) -> ExceptionAnswer | ProofRefused:
        """The error that this answer is."""
        state = STATE_ERRORS.get(self.state_error, f"state-error {self.state_error}")
        service = SERVICE_ERRORS.get(self.service_error, f"service-error {self.service_error}")
        breaches = {DECIPHERING_ERROR: ProofRefused, COUNTER_ERROR: CounterRefused}
        kind = breaches.get(self.service_error, ExceptionAnswer)
        return kind("data", f"{state}, {service}", where)


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """The meter could not serve a confirmed service; the three numbers of the standard's table."""

    service: int
    kind: int
    value: int

    def error(self, where: str) -> ServiceError:
        """The error that this answer is."""
        return ServiceError("an answer", f"confirmed-service-error {self.service}, {self.kind}, {self.value}", where)


@dataclass(frozen=True, slots=True)
class Released:
    """A RLRE: the association has ended."""


Errors = ExceptionResponse | ConfirmedServiceError
GetAnswer = get.Got | get.GotList | get.Refused | get.Block
SetAnswer = setting.Set | setting.SetResults | setting.BlockTaken
Answer = AssociationResponse | Released | GetAnswer | SetAnswer | action.Response | Errors


READERS: dict[int, Callable[[bytes], Answer]] = {
    get.RESPONSE: get.response_from_bytes,
    setting.RESPONSE: setting.response_from_bytes,
    action.RESPONSE: action.response_from_bytes,
    association.AARE: AssociationResponse.from_bytes,
}
TAGS = frozenset({*READERS, association.RLRE, EXCEPTION, association.CONFIRMED_SERVICE_ERROR})


def answer_from_bytes(octets: bytes) -> Answer:
    """The answer of a meter that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    if not octets:
        raise CutShort("an APDU", "nothing", "answer")
    tag = octets[0]
    if tag in READERS:
        return READERS[tag](octets)
    if tag == association.RLRE:
        return Released()  # some meters write a wrong length: nothing inside is needed
    if tag == EXCEPTION:
        return ExceptionResponse(*_numbers(octets, 2))
    if tag == association.CONFIRMED_SERVICE_ERROR:
        return ConfirmedServiceError(*_numbers(octets, 3))
    raise not_supported(octets)


def not_supported(octets: bytes) -> NotSupported:
    """The error that an APDU with another tag than `TAGS` is."""
    return NotSupported("an answer to GET, SET, ACTION or an association", octets[:SHOWN].hex(), "answer")


def _numbers(octets: bytes, count: int) -> tuple[int, ...]:
    if len(octets) <= count:
        raise CutShort(f"{count + 1} bytes", octets.hex(), "answer")
    return tuple(octets[1 : 1 + count])
