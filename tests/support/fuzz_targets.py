"""The table of all fuzz targets, and which functions that take outside bytes need none.

Such a function is public, of protocols/, gateway/ or collector/, and takes bytes or what was parsed from them, or is
called as what reads a text or a file. A test shows that the targets reach each of them but those that are named here,
with the reason.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import fuzz_dlms
import fuzz_files
import fuzz_handed
import fuzz_meters
import fuzz_opening
import fuzz_push
import fuzz_security
import fuzz_sides
import fuzz_uplink
import fuzz_values
from fuzzing import Target, examine, inputs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocols", "gateway", "collector")
TAKEN = re.compile(r"\b(bytes|bytearray|Wire|Data|Frame|Telegram|Fields|Content)\b")  # in a parameter's annotation
READERS = frozenset({"parse", "from_text", "from_toml", "check_configuration"})  # ... of a text or of a file
REACHED_BY = 25  # inputs of each target

TARGETS: tuple[Target, ...] = (
    *fuzz_meters.TARGETS,
    *fuzz_opening.TARGETS,
    *fuzz_dlms.TARGETS,
    *fuzz_push.TARGETS,
    *fuzz_security.TARGETS,
    *fuzz_uplink.TARGETS,
    *fuzz_sides.TARGETS,
    *fuzz_handed.TARGETS,
    *fuzz_files.TARGETS,
    *fuzz_values.TARGETS,
)
BY_NAME = {target.name: target for target in TARGETS}

OURS = "takes what we made ourselves, or checked before"
LINE = "hands bytes on as they are"
KEPT = "takes what our own store keeps, or an id from an operator"
EXCEPTIONS = {
    "protocols/dlms/carrier.py Carrier": "an interface: both carriers are reached",
    "protocols/dlms/data.py octet_string": OURS,
    "protocols/dlms/profile.py buffer_of": OURS,
    "protocols/dlms/pushed.py from_text": "takes what the configuration's rules let through, or our own words",
    "protocols/dlms/ways.py captures": OURS,
    "protocols/dlms/services.py Settable": "an interface: both halves are reached",
    "protocols/dlms/services.py Acting": "an interface: both halves are reached",
    "protocols/dlms/session.py Session.act": OURS,
    "protocols/mbus/services.py set_clock": OURS,
    "protocols/transports/dlms.py Association.act": OURS,
    "collector/attribute/source.py Source.of_row": KEPT,
    "collector/attribute/source.py Source.whose": KEPT,
    "collector/seat.py Seat.from_text": "a worker's seat, from an operator",
    "gateway/cli_profile.py profile": "the name of a profile, from a technician",
    "gateway/dlms_further.py is_newest_first": "the name of a profile: the configuration has it",
    "gateway/dlms_rows.py named": OURS,
    "gateway/guests.py Guests.ask": LINE,
    "gateway/guests.py Host.answer": "an interface: those of all protocols are reached",
    "gateway/excerpt.py begun": "the name of a profile, from a technician",
    "gateway/tap.py Tap.write": LINE,
    "protocols/settings/document.py parse": "tests/config puts 10^4 inputs into it; the product reads by mend.parse",
    "protocols/transports/exchange.py Line.write": LINE,
    "protocols/transports/exchange.py Told.received": "an interface: sessions and searches are reached",
    "protocols/transports/dlms.py Association.set": OURS,
    "protocols/transports/dlms.py Association.set_many": OURS,
    "protocols/transports/listen.py Taker.refused": "an interface: who judges pushes keeps such bytes as they are",
    "gateway/push.py Pushes.refused": "keeps them as they are, in an event",
    "protocols/transports/mqtt.py Pipe.publish": LINE,
    "protocols/transports/rfc2217.py Rfc2217Line.write": LINE,
    "protocols/transports/serial.py SerialLine.write": LINE,
    "protocols/transports/tcp.py TcpLine.write": LINE,
    "protocols/transports/tls.py check_dates": "TLS took the certificate before: our own authority made it",
    "protocols/uplink/batch.py plain": OURS,
    "protocols/uplink/batch.py seal": OURS,
    "protocols/uplink/carried.py frame": OURS,
    "protocols/uplink/merkle.py branches": OURS,
    "protocols/uplink/merkle.py path": OURS,
    "protocols/uplink/proof.py export_batch": OURS,
    "gateway/buffer.py Buffer": OURS,
    "gateway/chain.py Chain": OURS,
    "gateway/forward.py Forward.unread": OURS,
    "gateway/counters.py CounterStore": OURS,
    "gateway/link.py LivePipe.publish": LINE,
    "gateway/quarantine.py seal_quarantined": OURS,
    "gateway/bundle.py write": OURS,
    "gateway/bundle.py packed": OURS,
    "gateway/status.py content": KEPT,
    "gateway/files.py keep_whole": LINE,
    "gateway/status.py export": "the id of an epoch, from a technician",
    "collector/backup.py Manifest.from_bytes": "a backup of ours; tests/collector/test_backup.py damages it",
    "collector/brokercheck.py connect_packet": OURS,
    "collector/brokercheck.py publish_packet": OURS,
    "collector/cli_act.py": KEPT,
    "collector/cli_erase.py": KEPT,
    "collector/cli_verify.py check_octets": "calls proof.check, which is reached",
    "collector/enrol.py enrol": "its request, certificate request and trust document are reached one by one",
    "collector/erase": KEPT,
    "collector/files.py write": LINE,
    "collector/prove.py find": KEPT,
    "collector/proving/words.py mapped_from": "its fields are read as those of a register, which is reached",
    "collector/receive.py LivePipe.publish": LINE,
    "collector/shown.py record_shown": KEPT,
    "collector/store": KEPT,
}


def decoders() -> Iterator[tuple[str, str]]:
    """(file, qualified name) of every public function that takes outside bytes."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            yield from ((name, each) for each in _public(ast.parse(path.read_text()), ""))


def _public(node: ast.Module | ast.ClassDef, before: str) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from _public(each, f"{before}{each.name}.")
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
            given = (*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs)
            takes = any(arg.annotation is not None and TAKEN.search(ast.unparse(arg.annotation)) for arg in given)
            if takes or each.name in READERS:
                yield before + each.name


def reached(targets: tuple[Target, ...] = TARGETS) -> set[tuple[str, str]]:
    """(file, qualified name) of all our functions that run while the targets take their first inputs."""
    seen: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.add((frame.f_code.co_filename, frame.f_code.co_qualname))

    for target in targets:
        for octets in inputs(target, REACHED_BY, "reach"):
            sys.setprofile(note)
            try:
                examine(target, octets)
            finally:
                sys.setprofile(None)
    return {(file.removeprefix(f"{ROOT}/"), name) for file, name in seen if file.startswith(str(ROOT))}


def excepted(file: str, name: str) -> str | None:
    """The entry of the exceptions that names a function, its class, its file or its folder."""
    places = (f"{file} {name}", f"{file} {name.partition('.')[0]}", file, str(Path(file).parent))
    return next((each for each in places if each in EXCEPTIONS), None)
