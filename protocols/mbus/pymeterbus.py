"""The only file that touches pyMeterBus: it builds the link frames of the master.

pyMeterBus 0.8.5 encodes these frames right; its values and its I/O are never used. It calls `logging.basicConfig` when
it is imported, which would double every line of our own log: the handlers that it added are taken away again.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

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
    frame = _library().TelegramShort()
    frame.header.cField.parts = [control | _library().CONTROL_MASK_DIR_M2S]
    frame.header.aField.parts = [address]
    return bytes(frame)


@cache
def _library() -> Any:
    """PyMeterBus, imported when first needed, without what it does to the root logger."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    import meterbus  # noqa: PLC0415 - 60 ms that a gateway without M-Bus need not pay

    for handler in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(handler)
    root.setLevel(level)
    return meterbus
