"""What does not depend on how the pipe is made: its limits, settings and errors, and the wait before the next try."""

from __future__ import annotations

import math
import secrets
import socket
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocols.errors import LinkError

# Largest packet either way, fixed header included: 256 KiB of deflated body, header, seal and box fit in it.
PACKET_LIMIT = 327_680
# MQTT 3.1.1, 2.2: one byte of type and flags and three of remaining length, at the sizes that matter here.
FIXED_HEADER = 4
# A PUBLISH (3.3.2) adds the topic's length and the packet identifier.
PUBLISH_OVERHEAD = FIXED_HEADER + 2 + 2
# A ping after 25 s of silence and 25 s more until its missing answer is noticed.
KEEPALIVE_S = 25
# What waits unread: messages beyond are dropped and counted, the peer sends them again.
INBOX_MESSAGES = 256
INBOX_BYTES = 8 * 1024 * 1024
# MQTT 3.1.1, 3.1.3.1: a broker must take ids of up to 23 letters and digits.
CLIENT_ID_LENGTH = 22
_CLIENT_ID_ALPHABET = string.ascii_letters + string.digits
# Kernel: first probe after 20 s idle, then 5 of them 5 s apart; data unacknowledged for 30 s end the connection.
_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 20),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 5),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 30_000),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
)


class ConnectError(LinkError):
    """No connection to the broker came about."""

    code = "PLB-L201"
    do = "the buffer keeps everything meanwhile; check the broker's address, its certificate and ours"


class LinkLostError(LinkError):
    """The connection to the broker ended."""

    code = "PLB-L202"
    do = "nothing is lost: connect again and send what is not acknowledged"


class PublishTimeoutError(LinkError):
    """The broker did not take a message in time."""

    code = "PLB-L203"
    do = "the link is too slow or the broker is stuck: the message stays buffered and is sent again"


class PacketTooLongError(LinkError):
    """A packet is over the limit of 320 KiB; one that comes in closes the connection, unread."""

    code = "PLB-L204"
    do = "if it comes from outside, find out who sends it: nothing of ours is that long"


class SubscribeError(LinkError):
    """The broker refused a subscription or did not answer it."""

    code = "PLB-L205"
    do = "check the broker's permissions with broker-check"


@dataclass(frozen=True, slots=True)
class PipeSettings:
    """Where the broker is, who we are there, and how long we wait.

    `server_name` is the name its certificate must have (None: `host`). `ignore_dates` is for a clock that is unset.
    `will_topic` and `will_payload` are what the broker publishes, unsigned and not retained, when we vanish.
    """

    host: str
    port: int
    ca: Path
    certificate: Path | None
    key: Path | None
    server_name: str | None = None
    ignore_dates: bool = False
    will_topic: str | None = None
    will_payload: bytes = b""
    keepalive_s: int = KEEPALIVE_S
    connect_timeout_s: float = 10.0
    publish_timeout_s: float = 30.0
    inbox_messages: int = INBOX_MESSAGES
    inbox_bytes: int = INBOX_BYTES


@dataclass(slots=True)
class PipeCounters:
    """What a connection saw and did not hand on, for metrics."""

    dropped: int = 0  # messages that found the inbox full
    too_long: int = 0  # packets over the limit; at most 1, it ends the connection


class Backoff:
    """How long to wait before each next try: full jitter (a random part of base, 2 base, 4 base, ... up to the cap).

    Args:
        uniform: the random source, as `random.Random.uniform`: a number between its two arguments.
        base_s: upper end of the first wait.
        cap_s: no upper end above it.
    """

    def __init__(self, uniform: Callable[[float, float], float], base_s: float = 1.0, cap_s: float = 60.0) -> None:
        self._uniform = uniform
        self._base_s = base_s
        self._cap_s = cap_s
        self._ceiling_s = base_s

    def next_s(self, most_s: float = math.inf) -> float:
        """Seconds to wait now, `most_s` at most; the next upper end is twice this one's."""
        wait_s = self._uniform(0.0, min(self._ceiling_s, most_s))
        self._ceiling_s = min(self._ceiling_s * 2, self._cap_s)
        return wait_s

    def reset(self) -> None:
        """Start again at the base; call it when a connection has proved itself (an acknowledgement came)."""
        self._ceiling_s = self._base_s


def new_client_id() -> str:
    """22 random letters and digits: 131 bits that nobody guesses."""
    return "".join(secrets.choice(_CLIENT_ID_ALPHABET) for _ in range(CLIENT_ID_LENGTH))


def socket_options() -> list[tuple[int, int, int]]:
    """Level, option and value of what lets the kernel notice a dead line, as far as the platform has it."""
    return [(level, getattr(socket, name), value) for level, name, value in _SOCKET_OPTIONS if hasattr(socket, name)]
