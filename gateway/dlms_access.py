"""How a configured meter is entered: authentication, ciphering and titles, with secrets read from their files."""

from __future__ import annotations

from gateway.config import DlmsBus, DlmsDevice
from gateway.dlms_further import model_of
from gateway.password import keys_of, password_of
from protocols import obis
from protocols.dlms.access import Access, Auth
from protocols.dlms.ciphering import BOTH, NEITHER, Control
from protocols.dlms.listing import CURRENT
from protocols.dlms.protection import Security
from protocols.dlms.timing import ANSWER_MS, Waits
from protocols.dlms.ways import OffsetSign, RangeEnds, Ways

AUTHS = {
    "none": Auth.NONE,
    "lls": Auth.LLS,
    "hls-md5": Auth.HLS_MD5,
    "hls-sha1": Auth.HLS_SHA1,
    "hls-gmac": Auth.HLS_GMAC,
    "hls-sha256": Auth.HLS_SHA256,
}
CIPHERINGS = {
    "none": NEITHER,
    "authenticated": Control.AUTHENTICATED,
    "encrypted": Control.ENCRYPTED,
    "both": BOTH,
}


def access_of(device: DlmsDevice) -> Access:
    """The way into a meter.

    Raises:
        PasswordUnusable, KeyUnusable: a secret cannot be read.
    """
    keys = keys_of(device)
    ciphering = CIPHERINGS[device.ciphering]
    security = None if keys is None else Security(keys, ciphering, device.dedicated, device.general_ciphering)
    return Access(
        device.client,
        device.server,
        device.physical,
        AUTHS[device.auth],
        password_of(device) or b"",
        bytes.fromhex(device.system_title or ""),
        bytes.fromhex(device.meter_title or ""),
        security,
        device.challenge_bytes,
        device.address_bytes,
        ways=ways_of(device),
    )


def ways_of(device: DlmsDevice) -> Ways:
    """What is otherwise with a meter than the standard says: by its block in the file, else by its model."""
    model = model_of(device)
    ends = device.range_ends or (model.range_ends if model else RangeEnds.OFFSET.value)
    sign = device.offset_sign or (model.offset_sign if model else OffsetSign.STANDARD.value)
    name = device.association or (model.association if model else None)
    return Ways(RangeEnds(ends), OffsetSign(sign), CURRENT if name is None else obis.from_text(name))


def waits_of(device: DlmsDevice) -> Waits:
    """How long a meter is waited for, as far as its block in the file, or else its model, says it."""
    model = model_of(device)
    answer_ms = device.answer_ms if device.answer_ms is not None else model.answer_ms if model else None
    pause_ms = device.pause_ms if device.pause_ms is not None else model.pause_ms if model else 0
    return Waits(answer_ms, pause_ms)


def answer_ms(bus: DlmsBus, device: DlmsDevice) -> int:
    """What a meter on a serial line may take for an answer, at most."""
    wanted = waits_of(device).answer_ms
    return bus.answer_ms if wanted is None else wanted


def budget_s(device: DlmsDevice, least_s: float) -> float:
    """How long one visit may take: `least_s`, and more for a meter that needs more time for each answer."""
    waits = waits_of(device)
    return least_s * max(1.0, ((waits.answer_ms or 0) + waits.pause_ms) / ANSWER_MS)
