"""Register a gateway: check its request, let the authority sign its certificate, keep its public keys.

The answer is `[1, trust document, certificate (PEM)]` in strict msgpack; the gateway checks the trust document itself.
A gateway id belongs to its keys for ever: a request under a known id with other keys is refused.
"""

from __future__ import annotations

from pathlib import Path

from collector.authority import Authority, Role
from collector.faults import FingerprintError, GatewayTakenError
from collector.store.interface import Store
from collector.trustee import GATEWAY_DAYS, csr_pem
from protocols.uplink import request as requests
from protocols.uplink import trust
from protocols.uplink.keys import fingerprint
from protocols.uplink.pack import pack
from protocols.uplink.request import Request


def check(octets: bytes, expected: str | None) -> Request:
    """The request, when its signature holds and its sealing key has the expected fingerprint (None: any).

    Raises:
        PeerError, SignatureError: it does not hold.
        FingerprintError: another key.
    """
    request = requests.read(octets)
    shown = fingerprint(request.sealing.octets)
    if expected is not None and "".join(expected.split()).lower() != shown.replace(" ", ""):
        raise FingerprintError(expected, shown, f"request of {request.gateway}")
    return request


def enrol(request: Request, store: Store, authority: Path, trusted: bytes, now_ms: int) -> bytes:
    """Register the gateway and return its enrolment; again for the same keys it only makes a new certificate.

    Raises:
        GatewayTakenError: the id belongs to other keys.
        RequestRefusedError: the certificate request does not hold, or is for another name.
    """
    trust.read(trusted)
    pem = csr_pem(request.csr)
    certificate = Authority.open(authority).issue(pem, request.gateway, Role.GATEWAY, days=GATEWAY_DAYS)
    with store.transaction():
        known = store.gateways.register().get(request.gateway)
        if known is None:
            store.gateways.add(request.gateway, request.box, request.sealing, now_ms)
            store.gateways.approve(request.gateway, request.config, now_ms)
            store.cases.write(f"gateway {request.gateway} registered, key {request.sealing.id.hex()}", now_ms)
        elif request.sealing.id not in known.keys or known.box != request.box:
            keys = ", ".join(key.hex() for key in known.keys)
            raise GatewayTakenError(f"the keys of {request.gateway} ({keys})", request.sealing.id.hex(), "request")
    return pack([1, trusted, certificate])
