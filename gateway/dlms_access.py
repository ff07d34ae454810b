"""How a configured meter is entered: authentication, ciphering and titles, with secrets read from their files."""

from __future__ import annotations

from gateway.config import DlmsDevice
from gateway.password import keys_of, password_of
from protocols.dlms.access import Access, Auth
from protocols.dlms.ciphering import BOTH, NEITHER, Control
from protocols.dlms.protection import Security

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
    )
