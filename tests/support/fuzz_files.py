"""Fuzz targets: the files that people hand over (requests, enrolments, configurations, models) and a damaged buffer."""

from __future__ import annotations

import asyncio
import datetime
import json
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import msgpack
import mutators
import samples as s
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fuzz_sides import folder
from fuzz_uplink import either
from fuzzing import MIB, Target, Work
from gateway_parts import NOW_MS, Rig

from collector import enrol as collector_enrol
from collector.authority import Authority, Role
from collector.config import Config
from collector.faults import SheetError
from collector.keys import WorkerPublic
from collector.master import sheet
from collector.trustee import csr_pem
from gateway import enrol, newcomers, scanstate, successors, wal
from gateway.config import Configuration, configuration_hash
from gateway.config_file import configuration_from, read_configuration
from gateway.exchanging import DIGEST, Visited
from gateway.faults import BufferDamaged
from gateway.fill import read_fill
from gateway.lines import Place
from gateway.propose import block
from gateway.salvage import open_or_salvage
from gateway.scales import HASH, Scales, from_bytes, to_bytes
from gateway.schema import BUFFER_FILE, PAGE
from gateway.status import read_status
from gateway.successors import Successor
from gateway.walk import walk
from protocols.dlms import data as axdr
from protocols.dlms.data import Data, Tag
from protocols.dlms.objects import Attribute
from protocols.errors import ConfigurationError
from protocols.mbus.search import DECIMALS, SecondarySearch
from protocols.mbus.session import Failed
from protocols.mbus.sweep import PrimarySearch
from protocols.mbus.timing import Timing
from protocols.models import dlms as dlms_models
from protocols.models import mbus as mbus_models
from protocols.models import modbus as models
from protocols.reading import Identity, Protocol
from protocols.transports.keyfiles import write_private
from protocols.uplink import batch as batches
from protocols.uplink import limits, request, trust
from protocols.uplink.pack import pack, unpack
from protocols.uplink.trust import Trust, key_to_wire

CONFIG = Path(__file__).parents[2] / "config"
SMALL = 2 * MIB
SCANS = tuple(dict(scanstate.begun(Place("port"), kind, False, DECIMALS, 3)) for kind in (False, True))
SILENT_STEPS = 40  # questions and waits
DAY = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
# The certificate request of the key "tls": its own signature is random, so it is kept.
CSR = bytes.fromhex(
    "3081d3307a02010030183116301406035504030c0d626f696c65722d726f6f6d2d373059301306072a8648ce3d020106082a8648ce3d03010703"
    "420004ad9bb47fe2df81a3e9cfff0e1fd1b059607dcd7fbe3a96f07772bb1a9c2296e3caa6059fbf94032ff2c812bb409adc624bdb45d1305e69"
    "8ce6736dc4c38971a1a000300a06082a8648ce3d04030203490030460221008f6a5287276ab6600469898745d5155abb69c892b149a6df6838ba"
    "b8237c06cc022100c58c23d07f651a8b8ae136cb8cac69d8e797607ffc343225d6971c67116f757a"
)


@cache
def authority() -> Authority:
    """An authority of this process."""
    return Authority.create(folder("authority"), "utility-1")


def buffer_log() -> bytes:
    """A log of SQLite with a commit of two pages, and the sums that hold."""
    salts, head = bytes(range(8)), struct.pack(">4I", 0x377F0682, 3_007_000, PAGE, 0)
    sums = wal.summed((0, 0), head + salts, "<")
    parts = [head, salts, struct.pack(">2I", *sums)]
    for page in (1, 2):
        place, octets = struct.pack(">2I", page, 2 * (page == 2)), bytes([page]) * PAGE
        sums = wal.summed(sums, place + octets, "<")
        parts += [place, salts, struct.pack(">2I", *sums), octets]
    return b"".join(parts)


def buffer_log_frames(octets: bytes) -> list[wal.Frame]:
    """The frames of a log; a file shorter than its header is no log."""
    return list(wal.frames(octets)) if len(octets) > wal.HEADER else []


def asked(octets: bytes) -> None:
    """A certificate request, in a request that its gateway signed: checked, and signed by the authority."""
    wanted = request.Request(s.GATEWAY, s.SEALING.public, s.GATEWAY_BOX.public, octets, bytes(32))
    found = collector_enrol.check(request.sign(wanted, s.SEALING), None)
    made = authority().issue(csr_pem(found.csr), found.gateway, Role.GATEWAY, days=90)
    assert x509.load_pem_x509_certificate(made)


@cache
def enrolling() -> Configuration:
    """A gateway with its keys."""
    bus = {"name": "b", "protocol": "mbus", "port": "p", "device": [{"name": "d", "address": 1, "cadence_s": 900}]}
    table = {"gateway": s.GATEWAY, "state_folder": "state", "keys_folder": "keys", "bus": [bus]}
    made = configuration_from(table | {"broker": {"host": "b", "port": 1}}, folder("enrolling"), "test")
    made.keys_folder.mkdir()
    write_private(made.keys_folder / enrol.TLS_KEY, s.signing_p256("tls").private)
    enrol.make_keys(made.keys_folder)
    return made


def certificate(name: str) -> bytes:
    """A certificate for the key "tls"; signed by an Ed25519 key, whose signatures are always the same."""
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateBuilder().subject_name(who).issuer_name(who).serial_number(1)
    built = built.not_valid_before(DAY).not_valid_after(DAY + datetime.timedelta(days=90))
    key = s.signing_p256("tls").private.public_key()
    return built.public_key(key).sign(s.TRUST.private, None).public_bytes(Encoding.PEM)


def enrolment() -> bytes:
    """What a collector answers a request with."""
    der = x509.load_pem_x509_certificate(certificate("site")).public_bytes(Encoding.DER)
    ack, box = s.ACK.public, s.COLLECTOR_BOX.public
    document = Trust(1, s.COLLECTOR, None, (), (der,), ack, None, s.SEAL.public, (box,), (s.TRUST.public,), (1,))
    return pack([1, trust.sign(document, [s.TRUST]), certificate(s.GATEWAY)])


def enrolled(octets: bytes) -> None:
    """An enrolment, its trust document signed anew where it is one."""
    (enrolling().keys_folder / enrol.TRUST).unlink(missing_ok=True)
    either(partial(accept, resigned(octets)), partial(accept, octets))


def accept(octets: bytes) -> None:
    """As the command does."""
    found = enrol.accept(enrolling(), octets, None)
    assert enrol.read_trust(enrolling().keys_folder) == found


def resigned(octets: bytes) -> bytes:
    """The enrolment with the trust document's header signed by its trust key."""
    try:
        version, document, *rest = msgpack.unpackb(octets, strict_map_key=False)
        signed = [[s.TRUST.public.id, s.TRUST.sign("trust", msgpack.unpackb(document)[1])]]
        made = msgpack.packb([1, msgpack.unpackb(document)[1], signed])
        return bytes(msgpack.packb([version, made, *rest], use_bin_type=True))
    except (ValueError, TypeError, OverflowError, LookupError, msgpack.UnpackException):
        return octets


def gateway_configuration(octets: bytes) -> None:
    """A gateway's file, as the daemon and `check` read it."""
    path = folder("configuration") / "gateway.toml"
    path.write_bytes(octets)
    assert len(configuration_hash(read_configuration(path))) == 32


def collector_configuration(octets: bytes) -> None:
    """A collector's file."""
    path = folder("configuration") / "collector.toml"
    path.write_bytes(octets)
    assert Config.from_toml(path).collector


def model(octets: bytes) -> None:
    """A model file of a Modbus meter."""
    found = models.from_toml("found", octets.decode("utf-8", "replace"))
    assert found.registers
    assert found.sealed_as


def dlms_model(octets: bytes) -> None:
    """A model file of a DLMS meter."""
    assert dlms_models.from_toml("found", octets.decode("utf-8", "replace")).name


def master_sheet(octets: bytes) -> None:
    """A CSV file of points and meters: its words, or every fault with its place."""
    found = sheet.read(octets, "points.csv")
    lines = octets.count(b"\n") + octets.count(b"\r") + 1
    assert all(0 <= each.line <= lines and each.column >= 1 for each in found.problems)
    assert all(0 <= placed.word.span.from_ms < limits.FUTURE_MS for placed in found.words)
    if found.problems:
        raise SheetError(
            "lines without a fault", f"{len(found.problems)}", "points.csv", found.problems[: sheet.FAULTS]
        )


def mbus_model(octets: bytes) -> None:
    """A model file of an M-Bus meter."""
    found = mbus_models.from_toml("found", octets.decode("utf-8", "replace"))
    assert found.registers
    assert found.headers()


def scan_state(octets: bytes) -> None:
    """The file that a scan goes on from: read, shown, proposed, kept again, and gone on with for a while in silence."""
    primary = octets.find(b'"primary": true') >= 0
    asked = SCANS[primary]
    search = scanstate.from_bytes(octets, asked, Timing(), "scan.json")
    search.progress()
    assert all(each.isprintable() for each in search.words())
    assert block(search.found, Place("port"), "mbus") or not search.found
    again = scanstate.from_bytes(scanstate.to_bytes(asked, search), asked, Timing(), "scan.json")
    assert again.to_row() == search.to_row()
    for _ in range(SILENT_STEPS):
        if isinstance(search.next(), Failed | None):
            return
        search.timed_out()


def successors_file(octets: bytes) -> None:
    """Who answers in place of whom, as it is kept beside the buffer."""
    found = successors.from_bytes(octets)
    assert successors.from_bytes(successors.to_bytes(found)) == found
    assert all(successors.said(each) for each in found)


def newcomers_file(octets: bytes) -> None:
    """Who was found on which line, as it is kept beside the buffer, and the search that goes on there."""
    found = newcomers.from_bytes(octets)
    assert newcomers.from_bytes(newcomers.to_bytes(found)) == found
    for bus, mine in found.items():
        assert len(newcomers.offers(bus, mine.silent, mine.newcomers)) <= newcomers.MOST
        with suppress(ValueError):
            SecondarySearch.from_row(mine.search or {}, Timing())


def exchange_answer(octets: bytes) -> None:
    """What the daemon says of who answered, for an exchange."""
    found = Visited.from_wire(unpack(octets, SMALL, "answer"))
    assert len(found.digest) == DIGEST


def states() -> tuple[bytes, ...]:
    """Of searches that were just begun, and that were left with meters found and a pattern open."""
    meter = {"meter": "603000012D2C3504", "address": 1}
    levels = [
        {"mask": mask.ljust(16, "F"), "at": at, "choice": 6, "hint": "", "known": 0, "told": at > 1}
        for at, mask in enumerate(("", "6", "66"))
    ]
    open_one = SecondarySearch(Timing()).to_row() | {
        "levels": levels,
        "found": [meter, meter | {"address": 0}],
        "unresolved": ["unresolved: at selection 66FFFFFFFFFFFFFF several answer, or not clearly"],
    }
    open_other = PrimarySearch(Timing()).to_row() | {"address": 7, "found": [meter, {"meter": None, "address": 5}]}
    rows = [(False, SecondarySearch(Timing()).to_row()), (False, open_one), (True, open_other)]
    return tuple(json.dumps({"begun": SCANS[kind], "search": row}, indent=1).encode() for kind, row in rows)


@cache
def whole_buffer() -> bytes:
    """A buffer's file with a dozen batches, closed."""
    place = folder("whole")
    rig = Rig(place, max_bytes=SMALL)
    asyncio.run(rig.seal(12, 2_000))
    rig.buffer.close()
    return (place / BUFFER_FILE).read_bytes()


def damaged_buffer(octets: bytes) -> None:
    """Each eight bytes change the file: where, how many, and to what; then `status`, salvage, a second start."""
    place, found = folder("buffer"), bytearray(whole_buffer())
    shutil.rmtree(place)
    place.mkdir()
    for at in range(0, len(octets) - 7, 8):
        start, size = int.from_bytes(octets[at : at + 3], "big") % len(found), octets[at + 3]
        found[start : start + size] = (octets[at + 4 : at + 8] * 64)[:size]
    (place / BUFFER_FILE).write_bytes(found[: len(whole_buffer())])
    status = read_status_of(place)
    buffer, _ = open_or_salvage(place, SMALL, 0, [], "1")
    for entry in buffer.chain().entries():
        content = buffer.content(entry.id)
        assert content is None or batches.parse(content).id
    buffer.close()
    again, salvaged = open_or_salvage(place, SMALL, 0, [], "2")
    again.close()
    assert salvaged is None
    if status is not None:
        raise status


def read_status_of(place: Path) -> BufferDamaged | None:
    """What `status`, `buffer status` and `buffer verify` say of a damaged file."""
    try:
        walk(place)
        read_fill(place, SMALL)
        read_status(place, SMALL)
    except BufferDamaged as error:
        return error
    return None


_TEXT = tuple((CONFIG / f"{each}.example.toml").read_bytes() for each in ("gateway", "collector"))
_MODELS = tuple((models.FOLDER / f"{name}.toml").read_bytes() for name in models.names())
_DLMS_MODELS = tuple((dlms_models.FOLDER / f"{name}.toml").read_bytes() for name in dlms_models.names())
_MBUS_MODELS = tuple((mbus_models.FOLDER / f"{name}.toml").read_bytes() for name in mbus_models.names())
_SHEETS = tuple(
    path.read_bytes()
    for path in (CONFIG / "points.example.csv", CONFIG.parent / "tests" / "collector" / "sheets" / "faults.csv")
)
_WORKER = pack([1, s.COLLECTOR, *(key_to_wire(key.public) for key in (s.ACK, s.SEAL, s.COLLECTOR_BOX)), CSR])
WORDY = Work(600_000, 3_000)  # reads a file over its slips, several times where they are many


OWN = "a file that its owner writes, and no bytes of others: each input is read whole, with all its faults"


def _file(name: str, corpus: tuple[bytes, ...], decode: Callable[[bytes], object], cost: int) -> Target:
    """A target for a file that a person writes."""
    return Target(
        name,
        corpus,
        decode,
        mutators.texts,
        errors=ConfigurationError,
        work=WORDY,
        memory=16 * MIB,
        message=64_000,  # every fault of the file, with its line
        inputs=2_000,
        why=OWN,
        cost=cost,
    )


LOAD = bytes((1, 0, 99, 1, 0, 255))
SCALER = axdr.structure(Data(Tag.INTEGER, -1), Data(Tag.ENUM, 30))


def _scales() -> bytes:
    """What a gateway keeps of a meter."""
    found = Scales(Identity(Protocol.DLMS, "LGZ", fabrication="80000001"), bytes(32), 1)
    for name in (bytes((1, 0, 1, 8, 0, 255)), bytes((1, 0, 2, 8, 0, 255))):
        found.learn(Attribute(3, name, 3), SCALER)
    found.captures(LOAD, axdr.array())
    found.sorts(LOAD, newest_first=True)
    return to_bytes({"main": found})


SCALES = _scales()


def kept_scales(octets: bytes) -> None:
    """The content of the file behind its hash."""
    from_bytes(sha256(octets).digest() + octets)


def learnt_scales(octets: bytes) -> None:
    """What a meter says where its scaler, or what a profile captures, is asked for."""
    said, found = axdr.from_bytes(octets), Scales(Identity(Protocol.DLMS), None, 1)
    found.captures(LOAD, said)
    found.sorts(LOAD, newest_first=not found.newest_first(LOAD))
    found.learn(Attribute(3, LOAD, 3), said)


_WHO = Identity(Protocol.MBUS, "KAM", "60300001", 53, 4)
_NEW = Identity(Protocol.MBUS, "KAM", "60300099", 53, 4)
_SUCCESSORS = successors.to_bytes(
    [
        Successor("heat", _WHO, _NEW, NOW_MS, _WHO),
        Successor("lift", Identity(Protocol.DLMS, fabrication="1"), _NEW, NOW_MS),
    ]
)
_NEWCOMERS = newcomers.to_bytes(
    {
        "riser": newcomers.Sought(
            silent=(newcomers.Silent(device="heat", since_ms=NOW_MS, medium=4),),
            newcomers=(
                newcomers.Newcomer(number="60300099", manufacturer="KAM", version=53, medium=4, found_ms=NOW_MS),
            ),
            day=20_000,
            selections=12,
            questions={"heat": 3},
            media=(4, 12),
            search=SecondarySearch(Timing()).to_row(),
        )
    }
)
_VISITED = pack(Visited(_NEW, False, bytes(DIGEST), ("mbus:06/0/0/0/0/0 12 kWh",)).to_wire())

TARGETS = (
    Target("successors-file", (_SUCCESSORS,), successors_file, mutators.trees),
    Target("newcomers-file", (_NEWCOMERS, b"[1, []]"), newcomers_file, mutators.texts, errors=ConfigurationError),
    Target("exchange-answer", (_VISITED,), exchange_answer, mutators.trees),
    Target(
        "scan-state",
        (*states(), b"[" * 5_000, b'{"begun": ' * 2_000),
        scan_state,
        mutators.texts,
        errors=ConfigurationError,
        work=Work(400_000, 200),  # the manufacturers of an open pattern; models of what was found
        memory=8 * MIB,
    ),
    Target("worker-public", (_WORKER,), WorkerPublic.from_bytes, mutators.trees),
    Target("collector-request", (CSR,), asked),
    Target("gateway-scales", (SCALES[HASH:],), kept_scales, mutators.trees),
    Target("gateway-scalers", (axdr.to_bytes(SCALER), axdr.to_bytes(axdr.array(SCALER, SCALER))), learnt_scales),
    Target("buffer-log", (buffer_log(),), buffer_log_frames, only_values=True),
    Target("gateway-enrolment", (enrolment(),), enrolled, mutators.trees),
    _file("gateway-configuration", _TEXT[:1], gateway_configuration, 20),
    _file("collector-configuration", _TEXT[1:], collector_configuration, 8),
    _file("model-file", _MODELS, model, 8),
    _file("dlms-model-file", _DLMS_MODELS, dlms_model, 8),
    _file("mbus-model-file", _MBUS_MODELS, mbus_model, 8),
    Target(
        "master-sheet",
        _SHEETS,
        master_sheet,
        mutators.texts,
        errors=ConfigurationError,
        work=WORDY,
        memory=16 * MIB,
        message=600 * sheet.FAULTS,  # every fault of the file, with its line
        inputs=2_000,
        why=OWN,
        cost=2,
    ),
    Target(
        "gateway-buffer",
        (bytes(8),),
        damaged_buffer,
        mutators.edits,
        work=Work(200_000, 500),
        inputs=100,
        soak_inputs=10_000,
        why="each writes a file and opens it three times",
        cost=10,
    ),
)
