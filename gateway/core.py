"""The legally relevant core: version and hash of the code that decodes and seals (R26), computed once at start."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import gateway
import protocols
from protocols.uplink.header import Core

# The gateway's files between a meter's answer and its seal; forwarding, commands and wiring are not among them.
SEALING_FILES = (
    "acquaint.py",
    "attribute.py",
    "beside.py",
    "buses.py",
    "clock.py",
    "config.py",
    "config_line.py",
    "config_newcomers.py",
    "config_push.py",
    "core.py",
    "dlms.py",
    "dlms_access.py",
    "doubtful.py",
    "dlms_clock.py",
    "dlms_entrance.py",
    "dlms_further.py",
    "dlms_rows.py",
    "exchanges.py",
    "exchanging.py",
    "lookout.py",
    "mbus.py",
    "modbus.py",
    "newcomers.py",
    "pieces.py",
    "plausible.py",
    "poll.py",
    "push.py",
    "pushstore.py",
    "quarantine.py",
    "scales.py",
    "schedule.py",
    "seal.py",
    "settled.py",
    "silence.py",
    "steps.py",
    "succession.py",
    "successors.py",
)
SOURCE_VERSION = "source"  # of a checkout that was not installed


@cache
def core_of_this_program() -> Core:
    """The version and SHA-256 over (name, length, bytes) of each source file, sorted by name."""
    mine, shared = Path(gateway.__file__).parent, Path(protocols.__file__).parent
    sources = (*shared.rglob("*.py"), *(shared / "models").rglob("*.toml"))  # a meter's model is code of that core
    files = {f"protocols/{path.relative_to(shared).as_posix()}": path for path in sources}
    files |= {f"gateway/{name}": mine / name for name in SEALING_FILES}
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        octets = path.read_bytes()
        digest.update(f"{name}\0{len(octets)}\0".encode() + octets)
    try:
        shown = version("plomba")
    except PackageNotFoundError:
        shown = SOURCE_VERSION
    return Core(shown, digest.digest())
