"""Tries at a live broker all that must fail and all that must work, with real certificates of the site.

A broker acknowledges a publish that it denies, so a denial is proven by a listener: a forbidden message is followed on
the same connection by an allowed one, and once the allowed one has arrived the forbidden one never will. The messages
are 16 random bytes on real topics; a running collector or gateway counts them as not authentic and goes on.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from collector.authority import Authority, Role
from protocols.errors import PlombaError
from protocols.transports.mqtt import Pipe, connect
from protocols.transports.pipe import PACKET_LIMIT, PUBLISH_OVERHEAD, ConnectError, PipeSettings, SubscribeError
from protocols.transports.tls import client_context, make_csr, make_tls_key
from protocols.uplink import topics

# An allowed message arrives within milliseconds on any broker that is fit for use.
ARRIVAL_S = 5.0
# After the allowed message: how long a forbidden one may still be on its way.
GRACE_S = 0.3
# How long a broker may take to close a connection that sends too long a packet.
CLOSE_S = 5.0
# What the oversize check sends at most: well past the limit, and little enough for a thin line.
_OVERSIZE = PACKET_LIMIT + 64 * 1024
_ALL = "#"


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """Whom to be at the broker: two gateways and the collector, each by its certificate.

    `collector`, `gateway` and `other` are settings for one and the same broker; the names are the certificates'.
    """

    collector: PipeSettings
    gateway: PipeSettings
    gateway_name: str
    other: PipeSettings
    other_name: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One attempt: what should come of it and what came."""

    name: str
    expected: str
    got: str

    @property
    def ok(self) -> bool:
        """Whether the broker did what it must."""
        return self.expected == self.got


async def broker_check(target: CheckTarget) -> list[CheckResult]:
    """The result of every attempt, in a fixed order; all of them are made, whatever comes of the first.

    Raises:
        TlsFileError: a certificate or key given cannot be used.
    """
    checks: list[tuple[str, str, Callable[[CheckTarget], Awaitable[str]]]] = [
        ("a gateway's message reaches the collector", "delivered", _up_arrives),
        ("the collector's message reaches the gateway", "delivered", _down_arrives),
        ("a message of the greatest length arrives", "delivered", _longest_arrives),
        ("a connection without a certificate", "refused", _without_certificate),
        ("a connection with a certificate of a foreign authority", "refused", _foreign_certificate),
        ("a connection without TLS", "refused", _without_tls),
        ("a gateway writes on another gateway's topics", "not delivered", _writes_as_other),
        ("a gateway writes on down topics", "not delivered", _writes_down),
        ("a gateway leaves a last will on another gateway's topics", "not delivered", _wills_as_other),
        ("a gateway reads another gateway's topics", "not delivered", _reads_other),
        ("a gateway reads by wildcard", "not delivered", _reads_wildcard),
        ("a packet over the limit", "closed", _oversize),
    ]
    return [CheckResult(name, expected, await _outcome(check, target)) for name, expected, check in checks]


async def _outcome(check: Callable[[CheckTarget], Awaitable[str]], target: CheckTarget) -> str:
    try:
        return await check(target)
    except ConnectError as error:
        return f"no connection: {error.got}"
    except PlombaError as error:
        return str(error)


async def _up_arrives(target: CheckTarget) -> str:
    topic = topics.up(target.gateway_name, "hello")
    async with connect(target.collector) as collector, connect(target.gateway) as gateway:
        await collector.subscribe([topic])
        await gateway.publish(topic, payload := os.urandom(16))
        return _delivered(await _heard_until(collector, payload), payload)


async def _down_arrives(target: CheckTarget) -> str:
    topic = topics.down(target.gateway_name, "ack")
    async with connect(target.collector) as collector, connect(target.gateway) as gateway:
        await gateway.subscribe([topic])
        await collector.publish(topic, payload := os.urandom(16))
        return _delivered(await _heard_until(gateway, payload), payload)


async def _longest_arrives(target: CheckTarget) -> str:
    topic = topics.up(target.gateway_name, "batch")
    payload = os.urandom(PACKET_LIMIT - PUBLISH_OVERHEAD - len(topic))
    async with connect(target.collector) as collector, connect(target.gateway) as gateway:
        await collector.subscribe([topic])
        await gateway.publish(topic, payload)
        return _delivered(await _heard_until(collector, payload), payload)


async def _without_certificate(target: CheckTarget) -> str:
    return await _connects(target, replace(target.gateway, certificate=None, key=None))


async def _foreign_certificate(target: CheckTarget) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        foreign = Authority.create(folder / "authority", "Foreign authority")
        request = make_csr(make_tls_key(folder / "key"), target.gateway_name)
        certificate = folder / "certificate"
        certificate.write_bytes(foreign.issue(request, target.gateway_name, Role.GATEWAY, days=1))
        return await _connects(target, replace(target.gateway, certificate=certificate, key=folder / "key"))


async def _without_tls(target: CheckTarget) -> str:
    """MQTT 3.1.1, 3.1: a CONNECT in plain text; a broker without TLS answers with a CONNACK, which begins with 20."""
    try:
        reader, writer = await asyncio.open_connection(target.gateway.host, target.gateway.port)
    except OSError as error:
        return f"no connection: {error}"
    try:
        writer.write(connect_packet(os.urandom(8).hex().encode()))
        async with asyncio.timeout(CLOSE_S):
            answer = await reader.read(1)
    except (OSError, TimeoutError):
        return "refused"
    finally:
        writer.close()
    return "a connection" if answer == b"\x20" else "refused"


async def _writes_as_other(target: CheckTarget) -> str:
    async with connect(target.collector) as collector, connect(target.gateway) as gateway:
        await collector.subscribe(["plomba/v1/+/+/up/+"])
        forbidden = os.urandom(16)
        for leaf in topics.UP:
            await gateway.publish(topics.up(target.other_name, leaf), forbidden)
        await gateway.publish(topics.up(target.gateway_name, "hello"), marker := os.urandom(16))
        return _delivered(await _heard_until(collector, marker), forbidden, marker)


async def _writes_down(target: CheckTarget) -> str:
    async with (
        connect(target.collector) as collector,
        connect(target.gateway) as gateway,
        connect(target.other) as other,
    ):
        await other.subscribe([topics.down(target.other_name, leaf) for leaf in topics.DOWN])
        forbidden = os.urandom(16)
        for leaf in topics.DOWN:
            await gateway.publish(topics.down(target.other_name, leaf), forbidden)
        await collector.publish(topics.down(target.other_name, "ack"), marker := os.urandom(16))
        return _delivered(await _heard_until(other, marker), forbidden, marker)


async def _wills_as_other(target: CheckTarget) -> str:
    forbidden = os.urandom(16)
    topic = topics.up(target.other_name, "status")
    async with connect(target.collector) as collector:
        await collector.subscribe(["plomba/v1/+/+/up/+"])
        async with connect(replace(target.gateway, will_topic=topic, will_payload=forbidden)) as vanishing:
            vanishing.abort()
        async with connect(target.gateway) as gateway:
            await gateway.publish(topics.up(target.gateway_name, "hello"), marker := os.urandom(16))
            return _delivered(await _heard_until(collector, marker), forbidden, marker)


async def _reads_other(target: CheckTarget) -> str:
    return await _listens(target, [topics.down(target.other_name, leaf) for leaf in topics.DOWN])


async def _reads_wildcard(target: CheckTarget) -> str:
    return await _listens(target, ["plomba/v1/+/+/up/+", "plomba/v1/+/+/down/+", "plomba/#", _ALL, "+/#", "$SYS/#"])


async def _listens(target: CheckTarget, filters: list[str]) -> str:
    """A gateway asks for what is not its own while others talk; a refused subscription is as good as silence."""
    async with (
        connect(target.collector) as collector,
        connect(target.gateway) as gateway,
        connect(target.other) as other,
    ):
        for wanted in filters:
            with suppress(SubscribeError):
                await gateway.subscribe([wanted])
        await gateway.subscribe([topics.down(target.gateway_name, "ack")])
        forbidden = os.urandom(16)
        await collector.publish(topics.down(target.other_name, "ack"), forbidden)
        await other.publish(topics.up(target.other_name, "hello"), forbidden)
        await collector.publish(topics.down(target.gateway_name, "ack"), marker := os.urandom(16))
        return _delivered(await _heard_until(gateway, marker), forbidden, marker)


async def _oversize(target: CheckTarget) -> str:
    """Our own pipe refuses to send such a packet, so this one is made by hand."""
    settings = target.gateway
    context = client_context(settings.ca, settings.certificate, settings.key, server_name=settings.server_name)
    try:
        reader, writer = await asyncio.open_connection(settings.host, settings.port, ssl=context)
    except OSError as error:
        return f"no connection: {error}"
    try:
        async with asyncio.timeout(CLOSE_S):
            writer.write(connect_packet(os.urandom(8).hex().encode()))
            if len(await reader.read(4)) != 4:
                return "no connection: the broker closed it"
            writer.write(publish_packet(topics.up(target.gateway_name, "batch"), bytes(_OVERSIZE)))
            await writer.drain()
            answer = await reader.read(4)
    except OSError:
        return "closed"
    except TimeoutError:
        return "open"
    finally:
        writer.transport.abort()
    return f"an answer {answer.hex()}" if answer else "closed"


async def _connects(target: CheckTarget, settings: PipeSettings) -> str:
    """Whether these settings are refused by a broker that lets the gateway in: one that is not there refuses nobody."""
    async with connect(target.gateway):
        pass
    try:
        async with connect(settings):
            return "a connection"
    except ConnectError:
        return "refused"


async def _heard_until(listener: Pipe, marker: bytes) -> set[bytes]:
    """All payloads heard until `marker`, and a little longer."""
    heard: set[bytes] = set()
    deadline = asyncio.get_running_loop().time() + ARRIVAL_S
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline) as limit:
            async for _topic, payload in listener.messages():
                if payload == marker and marker not in heard:
                    limit.reschedule(asyncio.get_running_loop().time() + GRACE_S)
                heard.add(payload)
    return heard


def _delivered(heard: set[bytes], payload: bytes, marker: bytes | None = None) -> str:
    if payload in heard:
        return "delivered"
    if marker is not None and marker not in heard:
        return "the allowed message did not arrive either"
    return "not delivered"


def connect_packet(client_id: bytes) -> bytes:
    """A CONNECT as MQTT 3.1.1, 3.1 has it: protocol level 4, clean session, keep-alive 10 s."""
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2, "big") + client_id
    return b"\x10" + _remaining(len(body)) + body


def publish_packet(topic: str, payload: bytes) -> bytes:
    """A PUBLISH as MQTT 3.1.1, 3.3 has it: QoS 1, packet identifier 1."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + b"\x00\x01" + payload
    return b"\x32" + _remaining(len(body)) + body


def _remaining(length: int) -> bytes:
    # MQTT 3.1.1, 2.2.3: seven bits a byte, the lowest first.
    octets = bytearray()
    while True:
        length, low = divmod(length, 128)
        octets.append(low | (0x80 if length else 0))
        if not length:
            return bytes(octets)
