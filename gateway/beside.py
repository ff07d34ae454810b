"""What stands beside the values of a DLMS meter: who it is, and its scalers; and what a refusal of these means.

Rules. A meter that denies its device number, or a scaler, is read all the same: it has no number then, and a value
without its scaler is UNKNOWN, its digits as they came. A refusal that may pass (an exception-response, "temporary
failure") is asked once more, and never changes who a meter is: one that told its number before is not read until it
tells it again, for nobody knows whose rows these are. One that never did, a scaler for stored rows, and a number that
is denied by who told it, have to be refused for an hour: a row is sealed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.config import DlmsDevice
from gateway.scales import Scales
from protocols.dlms import objects
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, Malformed, ServiceError
from protocols.dlms.get import AccessResult, result_name
from protocols.dlms.objects import Attribute
from protocols.errors import AnotherMeter, MeterError
from protocols.reading import Identity, Protocol
from protocols.transports.dlms import Asking, Got

FLAG_LETTERS = 3  # a logical device name begins with the manufacturer's three letters
BELIEVED_MS = 3_600_000  # a refusal that stands so long is what the meter says, and no moment of its own
REFUSED = (AccessRefused, ExceptionAnswer, ServiceError)
MAY_PASS = frozenset(
    result_name(each)
    for each in (AccessResult.HARDWARE_FAULT, AccessResult.TEMPORARY_FAILURE, AccessResult.OTHER_REASON)
)


@dataclass(slots=True)
class Refusals:
    """Since when (ms, monotonic) a meter refuses what stands beside its values."""

    since: dict[Attribute, int] = field(default_factory=dict)

    def stands(self, asked: Attribute, mono_ms: int) -> bool:
        """It is refused now; whether it was for so long that this is the meter's word."""
        return mono_ms - self.since.setdefault(asked, mono_ms) >= BELIEVED_MS

    def told(self, asked: Attribute) -> None:
        """It is refused no more."""
        self.since.pop(asked, None)


@dataclass(frozen=True, slots=True)
class Scalers:
    """Learns the scalers of a meter that is associated, in `scales`; at `mono_ms`."""

    asking: Asking
    scales: Scales
    refusals: Refusals
    mono_ms: int

    async def learn(self, missing: Iterable[Attribute]) -> None:
        """Ask for these one by one: one that is denied, or is no scaler, is not asked for again while these count.

        Raises:
            LinkError, MeterError: no usable answer.
        """
        for each in missing:
            found = await answer(self.asking, each)
            if isinstance(found, Got):
                self.take(each, found)
            elif not may_pass(found):
                self.scales.denied.add(each)

    async def beside(self, asked: Attribute) -> Got | None:
        """What the meter says of something that rows cannot be read without; None where it keeps that to itself.

        Raises:
            LinkError, MeterError: no usable answer; or it refuses, and may not for long.
        """
        found = await answer(self.asking, asked)
        if isinstance(found, Got):
            self.refusals.told(asked)
            return found
        if may_pass(found) and not self.refusals.stands(asked, self.mono_ms):
            raise found
        return None

    def take(self, scaler: Attribute, found: Got) -> None:
        """What the meter says of a scaler."""
        self.refusals.told(scaler)
        try:
            self.scales.learn(scaler, found.data)
        except Malformed:
            self.scales.denied.add(scaler)

    def check(self, registers: Iterable[Attribute]) -> None:
        """Whether the rows of these registers may be sealed.

        Raises:
            AccessRefused: a scaler is refused, and may not be for long.
        """
        for each in self.scales.missing(registers):
            if not self.refusals.stands(each, self.mono_ms):
                raise AccessRefused("a scaler", "a refusal that may pass", str(each))


async def answer(asking: Asking, attribute: Attribute) -> Got | MeterError:
    """What a meter answers, or how it refuses; a refusal that may pass is asked once more.

    Raises:
        LinkError, MeterError: no usable answer.
    """
    try:
        return await asking.get(attribute)
    except REFUSED as error:
        if not may_pass(error):
            return error
    try:
        return await asking.get(attribute)
    except REFUSED as error:
        return error


def may_pass(error: MeterError) -> bool:
    """Whether the same question may be answered another time."""
    return not isinstance(error, AccessRefused) or error.got in MAY_PASS


async def shown(asking: Asking, wanted: Sequence[Attribute], scalers: Sequence[Attribute]) -> dict[Attribute, Got]:
    """What is wanted and the scalers, without those that are refused.

    Raises:
        LinkError, MeterError: no usable answer; what is wanted is refused.
    """
    asked = (*scalers, *wanted)
    try:
        return dict(zip(asked, await asking.get_many(asked), strict=True))
    except REFUSED:
        found = {each: await answer(asking, each) for each in scalers}
        return {each: got for each, got in found.items() if isinstance(got, Got)} | {
            each: await asking.get(each) for each in wanted
        }


async def told(asking: Asking) -> tuple[Identity, MeterError | None]:
    """Who the meter says it is; and how it refuses its device number, where it does.

    Raises:
        LinkError, MeterError: no usable answer.
    """
    name = objects.text_of((await asking.get(objects.LOGICAL_DEVICE_NAME)).data)
    found = await answer(asking, objects.DEVICE_ID)
    serial, why = (objects.text_of(found.data), None) if isinstance(found, Got) else (None, found)
    flag = name[:FLAG_LETTERS] if name and name[:FLAG_LETTERS].isalpha() else None
    return Identity(Protocol.DLMS, flag, fabrication=serial, logical_name=name), why


async def identity_of(asking: Asking, device: DlmsDevice) -> Identity:
    """Who the meter says it is.

    Raises:
        AnotherMeter: not the configured one.
        MeterError: it does not say so now, and may another time.
    """
    found, why = await told(asking)
    if why is not None:
        _ask_again(why, device)
    check(found, device.identity, device)
    return found


def believe(why: MeterError, before: Identity | None, device: DlmsDevice, refusals: Refusals, mono_ms: int) -> None:
    """Whether a meter that refuses its number is read as one without: `before` is who was read at this place last.

    Raises:
        MeterError: not now: the refusal may pass, or it is not known whether it is the same meter.
    """
    _ask_again(why, device)
    number = None if before is None else before.fabrication
    if before is not None and number is None:
        return
    stands = refusals.stands(objects.DEVICE_ID, mono_ms)
    if may_pass(why) and (number is not None or not stands):
        raise why
    if number is not None and not stands:
        raise AnotherMeter(f"device id {number}", "none", device.name)


def _ask_again(why: MeterError, device: DlmsDevice) -> None:
    """A meter whose number is configured is known by it alone.

    Raises:
        MeterError: it may tell it another time.
    """
    if may_pass(why) and device.identity.fabrication is not None:
        raise why


def check(found: Identity, expected: Identity, device: DlmsDevice) -> None:
    """Whether it is the one that is expected: by its device id, and of the configured one by its logical device name.

    Raises:
        AnotherMeter: it is not.
    """
    if expected.fabrication not in (None, found.fabrication):
        raise AnotherMeter(f"device id {expected.fabrication}", found.fabrication or "none", device.name)
    name = device.logical_name if expected == device.identity else None  # another one stands in its place by its id
    if name not in (None, found.logical_name):
        raise AnotherMeter(f"logical device name {name}", found.logical_name or "none", device.name)
