"""Topics of the pipe: `plomba/v1/<shard>/<gateway>/up|down/<kind>`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from protocols.errors import ConfigurationError
from protocols.uplink.faults import FieldError

UP = ("hello", "batch", "reply", "status")
DOWN = ("ack", "command", "trust")
SHARDS = 0x40  # for ever: workers take shards, gateways never move

_GATEWAY = re.compile(r"[a-z0-9-]{3,32}")


class GatewayNameError(ConfigurationError):
    """A gateway id that is not `[a-z0-9-]{3,32}`."""

    code = "PLB-C101"
    do = "choose 3 to 32 small letters, digits and hyphens; the id is given once and never reused"


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic."""

    gateway: str
    up: bool
    kind: str


def gateway_id(text: str) -> str:
    """`text`, when it is a gateway id.

    Raises:
        GatewayNameError: it is not.
    """
    if not _GATEWAY.fullmatch(text):
        raise GatewayNameError("[a-z0-9-]{3,32}", repr(text[:64]), "gateway id")
    return text


def shard(gateway: str) -> str:
    """The first byte of SHA-256(gateway) modulo 64, as two hex digits."""
    return f"{hashlib.sha256(gateway_id(gateway).encode('ascii')).digest()[0] % SHARDS:02x}"


def up(gateway: str, kind: str) -> str:
    """The topic on which `gateway` says `kind`."""
    return f"plomba/v1/{shard(gateway)}/{gateway}/up/{kind}"


def down(gateway: str, kind: str) -> str:
    """The topic on which the collector says `kind` to `gateway`."""
    return f"plomba/v1/{shard(gateway)}/{gateway}/down/{kind}"


def parse(topic: str) -> Topic:
    """The parts of a topic.

    Raises:
        FieldError: not a topic of the contract, or the shard is not the gateway's.
    """
    parts = topic.split("/")
    if len(parts) != 6 or parts[:2] != ["plomba", "v1"] or not _GATEWAY.fullmatch(parts[3]):
        raise FieldError("plomba/v1/<shard>/<gateway>/up|down/<kind>", repr(topic[:128]), "topic")
    _, _, shown, gateway, direction, kind = parts
    if kind not in {"up": UP, "down": DOWN}.get(direction, ()):
        raise FieldError("a kind of the contract", repr(f"{direction}/{kind}"[:128]), "topic")
    if shown != shard(gateway):
        raise FieldError(f"shard {shard(gateway)}", repr(shown[:128]), "topic")
    return Topic(gateway, direction == "up", kind)
