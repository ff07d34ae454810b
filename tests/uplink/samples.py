"""The hard cases that the vectors and the tests are made of: real-looking readings of two meters, keys from phrases."""

from __future__ import annotations

import datetime
import hashlib

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from protocols.reading import (
    Exchange,
    Float32,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Raw,
    Reading,
    Scaled,
    State,
    Status,
    Text,
    TimeQuality,
    Value,
)
from protocols.uplink import records
from protocols.uplink.batch import Batch, Circumstances, Place, seal
from protocols.uplink.header import ClockShown, ClockSource, ClockState, Core, Parent
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.leaf import SealedReading
from protocols.uplink.pack import pack

GATEWAY = "boiler-room-7"
COLLECTOR = "utility"
START_MS = 1_793_000_000_000
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def digest(phrase: str) -> bytes:
    """32 bytes that a phrase stands for: test keys and test randomness, in the open."""
    return hashlib.sha256(f"plomba test vector: {phrase}".encode()).digest()


def signing(phrase: str) -> SigningKey:
    """An Ed25519 key from a phrase."""
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(digest(phrase)))


def signing_p256(phrase: str) -> SigningKey:
    """A P-256 key from a phrase."""
    return SigningKey(ec.derive_private_key(int.from_bytes(digest(phrase), "big") % P256_ORDER, ec.SECP256R1()))


def box(phrase: str) -> BoxKey:
    """An X25519 key from a phrase."""
    return BoxKey(x25519.X25519PrivateKey.from_private_bytes(digest(phrase)))


SEALING = signing("gateway sealing")
SEALING_P256 = signing_p256("gateway sealing in a secure element")
GATEWAY_BOX = box("gateway box")
ACK = signing("collector ack")
SEAL = signing("collector seal")
COLLECTOR_BOX = box("collector box")
TRUST = signing("trust")
HEAT = Identity(Protocol.MBUS, "KAM", "80012345", 48, 4, fabrication="80012345")
MIXED = Identity(Protocol.MBUS, "SON", "0A1B2C3D", 13, 12)
CONFIG = b"a configuration"


def shown(text: str, precision: Precision, summer: bool = False) -> MeterTime:
    """A meter's own time from ISO text."""
    return MeterTime.from_calendar(datetime.datetime.fromisoformat(text), precision, summer)


def key(vib: str, storage: int = 0, tariff: int = 0, subunit: int = 0, function: int = 0, nth: int = 0) -> NativeKey:
    """An M-Bus key, the VIB in hex."""
    return NativeKey.mbus(bytes.fromhex(vib), storage, tariff, subunit, function, nth)


def exchange(index: int, synchronised: bool = True, keep: bool = False) -> Exchange:
    """The `index`-th exchange: 900.25 s apart, a telegram made of a phrase."""
    telegram = b"\x68" + digest(f"telegram {index}") * 2 + b"\x16"
    quality = TimeQuality(synchronised, 12 if synchronised else None)
    at = START_MS + 900_250 * index
    return Exchange(at, 5_000 + 900_250 * index, 411 + index, quality, telegram, keep)


def heat(index: int) -> Reading:
    """A heat meter with a set-day value, a maximum with its own time, and a set-day date."""
    set_day = shown("2026-10-31", Precision.DAY)
    values = (
        Value(key("06"), "Wh", Scaled(123_456 + index, 3), State.OK),
        Value(key("14"), "m3", Scaled(-2_345, -2), State.OK),
        Value(key("2d", function=1), "W", Scaled(457, 2), State.OK, None, shown("2026-11-03T06:45", Precision.MINUTE)),
        Value(key("06", storage=1), "Wh", Scaled(120_001, 3), State.OK, None, set_day),
        Value(key("6c", storage=1), "", set_day, State.OK),
        Value(key("6c", storage=510), "", Raw(bytes.fromhex("ffff")), State.RECURRING),
        Value(key("6d"), "", shown("2026-11-21T23:59", Precision.MINUTE, summer=True), State.OK),
    )
    meter_time = shown("2026-11-21T23:59", Precision.MINUTE, summer=True)
    slot = START_MS // 900_000 * 900_000 + 900_000 * index
    status = Status.POWER_LOW | Status.TEMPORARY_ERROR
    return Reading(
        HEAT, "heat-1", None, How.READ, slot, meter_time, exchange(index, keep=index == 0), 0x14, status, values
    )


def mixed(index: int) -> Reading:
    """A meter with a record in error state, a float32, a text, error digits, and a key that comes twice."""
    values = (
        Value(key("5b", function=3), "Cel", Raw(bytes.fromhex("99990000")), State.ERROR_STATE),
        Value(key("5f"), "Cel", Float32(0x428B851F if index else 0x7F7FFFFF, 0), State.OK),
        Value(key("fd11"), "", Text("Heizraum Süd"), State.OK, 7),
        Value(key("13"), "m3", Raw(bytes.fromhex("bdebdd00")), State.INVALID),
        Value(key("13", nth=1), "m3", Scaled(2**63 - 1 if index else 0, -12), State.UNKNOWN),
    )
    part = exchange(10 + index, synchronised=False)
    return Reading(
        MIXED, "flat-3", "input-2", How.STORAGE, None, None, part, None, Status.NONE, values[: 5 - index], index
    )


def when(mono_ms: int = 9_000) -> records.When:
    """An instant for records."""
    return records.When(START_MS + mono_ms, mono_ms, TimeQuality(False, None))


def all_records() -> list[records.Record]:
    """One record of each kind that is written now, and one of a kind to come."""
    return [
        records.Configuration(when(), CONFIG),
        records.Event(when(), "start", None, None, ("epoch", 1, None, b"\x01")),
        records.Event(when(), "PLB-M101", HEAT, "heat-1", (-3,)),
        records.Lost(when(), digest("old epoch")[:16], 3, 4, "rotten", (HEAT, MIXED), (START_MS - 5_000, START_MS)),
        records.TimeCorrection(when(), digest("boot")[:16], 0, 9_000, -41),
        records.Unsealed(when(), pack(SealedReading.of(heat(9)).to_wire()), exchange(9).telegram),
        records.OtherRecord(200, (200, START_MS, "to come", [1, [b"x"]])),
    ]


def clock(mono_ms: int = 10_000) -> ClockShown:
    """The gateway's clock as shown in headers."""
    return ClockShown(ClockState.SET, ClockSource.SYSTEM, 0, None, START_MS, digest("boot")[:16], mono_ms)


def circumstances() -> Circumstances:
    """What the header says of the gateway."""
    core = Core("0.1.0", digest("core"))
    return Circumstances(START_MS + 10_000, clock(), core, hashlib.sha256(CONFIG).digest())


def epoch(name: str) -> bytes:
    """The 16 bytes of an epoch."""
    return digest(f"epoch {name}")[:16]


def first_batch(signer: SigningKey = SEALING) -> Batch:
    """Seq 1 of an epoch with a parent: both meters, several rows, all records."""
    place = Place(GATEWAY, epoch("a"), 1, digest("the batch before"), Parent(epoch("z"), 41))
    readings = [heat(0), mixed(0), heat(1), heat(2), mixed(1)]
    return seal(readings, all_records(), place, circumstances(), signer, digest("secret 1"))


def second_batch(first: Batch) -> Batch:
    """Seq 2: one reading, body too small to be worth deflating or not, as it comes."""
    place = Place(GATEWAY, first.header.epoch, 2, first.id, None)
    return seal([heat(3)], [], place, circumstances(), SEALING, digest("secret 2"))
