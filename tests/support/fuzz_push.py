"""Fuzz targets of what comes unasked: from the bytes on the line to what the gateway makes of a push."""

from __future__ import annotations

from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from fuzz_meters import ENERGY, NUMBERS, ROWS, SHOWN_TIMES
from fuzz_security import KEYS
from fuzzing import Target, Work

from gateway.attribute import From, Senders
from gateway.config import DlmsDevice
from protocols.dlms import data as axdr
from protocols.dlms import layout, pushed, unasked
from protocols.dlms.arrival import Arrivals, datagram
from protocols.dlms.carrier import LLC_COMMAND
from protocols.dlms.ciphering import BOTH
from protocols.dlms.decipher import Opener
from protocols.dlms.hdlc import UI, Frame
from protocols.dlms.notification import DataNotification, EventNotification
from protocols.dlms.objects import CLOCK_TIME, LOGICAL_DEVICE_NAME, ScalerUnit
from protocols.dlms.profile import Column
from protocols.dlms.pushed import PUSH_LIST, Kept
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError

TITLE = b"ISK\x10\x50\x01\x23\x45"
HERE = "192.0.2.1"
KEPT = Kept((CLOCK_TIME, ENERGY), {ENERGY: ScalerUnit(3, "Wh")})
LISTED = axdr.array(*(Column(each).to_data() for each in (PUSH_LIST, CLOCK_TIME, ENERGY)))
MOMENT = axdr.octet_string(SHOWN_TIMES[0])
NAME = axdr.octet_string(b"ISK1050012345678")
BODIES = (
    axdr.structure(LISTED, MOMENT, NUMBERS[0]),
    axdr.structure(MOMENT, NUMBERS[0]),
    axdr.structure(axdr.octet_string(LOGICAL_DEVICE_NAME.name), NAME, axdr.octet_string(ENERGY.name), NUMBERS[0]),
    ROWS,
)
PLAIN = tuple(DataNotification(0x4000_0001, b"", each).to_bytes() for each in BODIES)
METER = DlmsDevice(name="main", cadence_s=900, push=True, push_from=HERE, meter_title=TITLE.hex(), serial="50012345")
MASTER = bytes(range(0x40, 0x40 + len(KEYS.encryption)))
GENERAL = unasked.general(PLAIN[0], KEYS, BOTH, 7, TITLE, b"")
WRAPPED = b"\x01\x01\x00\x18" + aes_key_wrap(MASTER, KEYS.encryption)  # in the place of the identified key
SENDERS = Senders((METER,), {})


def dlms_push(octets: bytes) -> None:
    """From a connection's bytes to values; nothing is held behind the end, and an answer can be framed."""
    arrivals = Arrivals()
    found = arrivals.feed(octets)
    for each in found:
        assert each.answer(unasked.confirm(1))
        _said(each.apdu)
    if not found:
        datagram(octets)


def dlms_push_apdu(octets: bytes) -> None:
    """A plain APDU, and the same under a cipher."""
    unasked.confirm_from_bytes(b"\x10" + octets[:4].ljust(4))
    _said(octets)
    sealed = unasked.read(unasked.general(octets, KEYS, BOTH, 7, TITLE, b""))
    assert SENDERS.of_ciphered(sealed, From(HERE, 1)) is METER
    assert sealed.opened(KEYS, BOTH, TITLE) == octets


def dlms_push_sealed(octets: bytes) -> None:
    """What does not come from the holder of the key is never opened."""
    unasked.read(octets).opened(KEYS, BOTH, TITLE)


def dlms_deciphered(octets: bytes) -> None:
    """Explained with keys: general-ciphering under a wrapped key among it; what does not open is named."""
    found = layout.explained(octets)
    Opener(KEYS, (TITLE,), KEYS.encryption, MASTER).open(found)
    assert layout.lines(found)
    if found.error is not None:
        raise found.error


def _said(octets: bytes) -> None:
    push = unasked.read(octets)
    if push.ciphered is not None:
        push.opened(KEYS, BOTH, TITLE)
        return
    SENDERS.check_origin(From(HERE))
    if octets[0] != 0x0F:
        event = EventNotification.from_bytes(octets)
        SENDERS.of_plain(event.value, From(HERE, 1))
        return
    body = DataNotification.from_bytes(octets).body
    SENDERS.of_plain(body, From(HERE, 1))
    found = pushed.items(body, KEPT)
    assert len(pushed.values(found, KEPT)) == len(found) <= pushed.MAX_ITEMS
    assert pushed.unknown(found, KEPT) <= {each.attribute.name for each in found}
    pushed.time_of(found)
    SENDERS.check(METER, found)
    pushed.definitions(axdr.array(*(Column(each.attribute).to_data() for each in found)))


TARGETS: tuple[Target, ...] = (
    Target(
        "dlms-deciphered",
        (GENERAL, GENERAL.replace(b"\0\0\x01\0\0", b"\0\0" + WRAPPED)),
        dlms_deciphered,
        work=Work(40_000, 800),
        errors=MeterError,
    ),
    Target(
        "dlms-push-line",
        (
            Message(1, 1, PLAIN[0]).to_bytes(),
            Message(1, 1, PLAIN[2]).to_bytes(),
            Frame(b"\x03", b"\x21", UI, LLC_COMMAND + PLAIN[1]).to_bytes(),
        ),
        dlms_push,
        work=Work(20_000, 400),
        errors=MeterError,
    ),
    Target(
        "dlms-push-apdu",
        (*PLAIN, EventNotification(SHOWN_TIMES[0], ENERGY, NUMBERS[0]).to_bytes()),
        dlms_push_apdu,
        work=Work(20_000, 400),
        errors=MeterError,
    ),
    Target(
        "dlms-push-sealed",
        (GENERAL,),
        dlms_push_sealed,
        work=Work(4_000, 80),
        errors=MeterError,
    ),
)
