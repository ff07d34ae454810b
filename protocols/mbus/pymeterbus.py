"""The only file that touches pyMeterBus: it builds the link frames of the master.

pyMeterBus 0.8.5 encodes these frames right; its values and its I/O are never used. The start of its package is left
out: it brings wireless M-Bus with pycryptodome, cffi and a parser of C, 4 MB that would stay, and calls
`logging.basicConfig`, which would double every line of our own log.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

PACKAGE = "meterbus"

MAX_PRIMARY = 250  # EN 13757-2: 251 and 252 are reserved, 253 is the selected meter, 254/255 are broadcasts
SELECTED = 253
BROADCAST_REPLY = 254


def snd_nke(address: int) -> bytes:
    """SND_NKE: reset the link layer of the meter at `address` (0-250, 253, 254); the meter answers E5."""
    return _short(_library().CONTROL_MASK_SND_NKE, address)


def req_ud2(address: int, fcb: bool) -> bytes:
    """REQ_UD2: ask the meter at `address` for its data, with the frame count bit `fcb`."""
    library = _library()
    control = library.CONTROL_MASK_REQ_UD2 & ~library.CONTROL_MASK_FCB
    return _short(control | (library.CONTROL_MASK_FCB if fcb else 0), address)


def _short(control: int, address: int) -> bytes:
    if not (0 <= address <= MAX_PRIMARY or address in (SELECTED, BROADCAST_REPLY)):
        raise ValueError(f"expected a primary address 0-{MAX_PRIMARY}, {SELECTED} or {BROADCAST_REPLY}, got {address}")
    library = _library()
    frame = library.TelegramShort()
    frame.header.cField.parts = [control | library.CONTROL_MASK_DIR_M2S]
    frame.header.aField.parts = [address]
    return bytes(frame)


@cache
def _library() -> Any:
    """What builds short frames in pyMeterBus, imported when first needed, and nothing else of it.

    For that moment its package stands there without its start; whoever imports `meterbus` gets all of it.
    """
    others = _taken_out()
    package = ModuleType(PACKAGE)
    package.__spec__ = find_spec(PACKAGE)
    package.__path__ = [] if package.__spec__ is None else list(package.__spec__.submodule_search_locations or ())
    sys.modules[PACKAGE] = package
    try:
        short, defines = (import_module(f"{PACKAGE}.{name}") for name in ("telegram_short", "defines"))
    finally:
        _taken_out()
        sys.modules.update(others)
    return SimpleNamespace(**{**vars(defines), "TelegramShort": short.TelegramShort})


def _taken_out() -> dict[str, ModuleType]:
    """The modules of pyMeterBus that are there; they are not any more."""
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    return {name: sys.modules.pop(name) for name in names}
