"""The pipe over real brokers: what arrives, what does not, and what a restart or a thief of client ids can do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

import pytest
from servers import Broker

from collector.authority import Role
from collector.broker import BrokerIdentity
from collector.brokercheck import connect_packet
from protocols.errors import LinkError
from protocols.transports.mqtt import Pipe, connect
from protocols.transports.pipe import (
    PACKET_LIMIT,
    PUBLISH_OVERHEAD,
    ConnectError,
    LinkLostError,
    PacketTooLongError,
)
from protocols.transports.tls import client_context
from protocols.uplink import topics

ONE, TWO = "gateway-1", "gateway-2"
ALL_UP = "plomba/v1/+/+/up/+"


async def heard(pipe: Pipe, count: int = 1, timeout_s: float = 5.0) -> list[tuple[str, bytes]]:
    """The next `count` messages, or as many as come within the time."""
    found: list[tuple[str, bytes]] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            async for message in pipe.messages():
                found.append(message)
                if len(found) == count:
                    break
    return found


async def test_messages_go_both_ways(broker: Broker) -> None:
    """A gateway's batch reaches the collector, the collector's answer reaches the gateway."""
    one, _two = broker.site.gateways
    async with connect(broker.pipe(broker.site.collector)) as collector, connect(broker.pipe(one)) as gateway:
        await collector.subscribe([ALL_UP])
        await gateway.subscribe([topics.down(ONE, "ack")])
        await gateway.publish(topics.up(ONE, "batch"), b"sealed")
        assert await heard(collector) == [(topics.up(ONE, "batch"), b"sealed")]
        await collector.publish(topics.down(ONE, "ack"), b"stored")
        assert await heard(gateway) == [(topics.down(ONE, "ack"), b"stored")]


async def test_many_messages_keep_their_order(broker: Broker) -> None:
    """200 messages, 20 under way at a time, arrive once each and in order."""
    async with (
        connect(broker.pipe(broker.site.collector)) as collector,
        connect(broker.pipe(broker.site.gateways[0])) as gateway,
    ):
        await collector.subscribe([ALL_UP])
        for first in range(0, 200, 20):
            sending = [gateway.publish(topics.up(ONE, "batch"), b"%d" % n) for n in range(first, first + 20)]
            await asyncio.gather(*sending)
        assert [payload for _topic, payload in await heard(collector, 200)] == [b"%d" % n for n in range(200)]


async def test_a_packet_of_the_greatest_length_arrives_and_a_longer_one_is_not_sent(broker: Broker) -> None:
    """The limit is the same for sender, broker and receiver."""
    topic = topics.up(ONE, "batch")
    longest = bytes(PACKET_LIMIT - PUBLISH_OVERHEAD - len(topic))
    async with (
        connect(broker.pipe(broker.site.collector)) as collector,
        connect(broker.pipe(broker.site.gateways[0])) as gateway,
    ):
        await collector.subscribe([ALL_UP])
        with pytest.raises(PacketTooLongError, match="PLB-L204"):
            await gateway.publish(topic, longest + b"!")
        await gateway.publish(topic, longest)
        assert await heard(collector) == [(topic, longest)]


async def test_client_ids_are_new_each_time(broker: Broker) -> None:
    """22 letters and digits, never twice."""
    ids = set()
    for _ in range(5):
        async with connect(broker.pipe(broker.site.gateways[0])) as gateway:
            ids.add(gateway.client_id)
    assert len(ids) == 5
    assert all(len(text) == 22 and text.isascii() and text.isalnum() for text in ids)


async def test_a_stolen_client_id_keeps_nobody_out(broker: Broker) -> None:
    """Whoever takes a live id ends that connection; the next one has another id and works."""
    one, two = broker.site.gateways
    async with connect(broker.pipe(one)) as gateway:
        context = client_context(broker.site.ca, two.certificate, two.key)
        reader, writer = await asyncio.open_connection("localhost", broker.port, ssl=context)
        writer.write(connect_packet(gateway.client_id.encode()))
        await reader.readexactly(4)
        async with asyncio.timeout(5):
            await gateway.closed()
    async with connect(broker.pipe(broker.site.collector)) as collector, connect(broker.pipe(one)) as again:
        await collector.subscribe([ALL_UP])
        await again.publish(topics.up(ONE, "hello"), b"back")
        assert await heard(collector) == [(topics.up(ONE, "hello"), b"back")]
    writer.transport.abort()


async def test_a_restart_of_the_broker_ends_the_pipe_and_the_next_one_works(broker: Broker) -> None:
    """A publish under way and the iterator both say that the link is lost; nothing hangs."""
    async with connect(broker.pipe(broker.site.gateways[0])) as gateway:
        broker.process.kill()
        with pytest.raises(LinkLostError, match="PLB-L202"):
            await asyncio.wait_for(anext(gateway.messages()), 5)
        with pytest.raises(LinkError):
            await asyncio.wait_for(gateway.publish(topics.up(ONE, "batch"), b"lost"), 5)
    with pytest.raises(ConnectError, match="nothing listens"):
        async with connect(broker.pipe(broker.site.gateways[0])):
            pass
    broker.process.start()
    async with connect(broker.pipe(broker.site.gateways[0])) as gateway:
        await gateway.publish(topics.up(ONE, "batch"), b"sent")


async def test_the_last_will_is_published_when_a_gateway_vanishes(broker: Broker) -> None:
    """Not at a polite end, and it is not retained."""
    gone = broker.pipe(broker.site.gateways[0], will_topic=topics.up(ONE, "status"), will_payload=b"gone")
    async with connect(broker.pipe(broker.site.collector)) as collector:
        await collector.subscribe([ALL_UP])
        async with connect(gone):
            pass
        assert await heard(collector, timeout_s=0.5) == []
        async with connect(gone) as gateway:
            gateway.abort()
        assert await heard(collector) == [(topics.up(ONE, "status"), b"gone")]
    async with connect(broker.pipe(broker.site.collector)) as later:
        await later.subscribe([ALL_UP])
        assert await heard(later, timeout_s=0.5) == []


async def test_a_new_identity_is_let_in_by_a_reload(broker: Broker) -> None:
    """Rewritten configuration and one signal; the connections that stand go on."""
    everyone = broker.site.identities()
    broker.allow([identity for identity in everyone if identity.name != TWO])
    broker.reload()
    one, two = broker.site.gateways
    async with connect(broker.pipe(broker.site.collector)) as collector, connect(broker.pipe(one)) as standing:
        await collector.subscribe([ALL_UP])
        with suppress(ConnectError):
            async with connect(broker.pipe(two)) as unknown:
                await unknown.publish(topics.up(TWO, "hello"), b"unknown")
        broker.allow([*everyone, BrokerIdentity("gateway-3", Role.GATEWAY)])
        broker.reload()
        async with connect(broker.pipe(two)) as known:
            await known.publish(topics.up(TWO, "hello"), b"known")
        await standing.publish(topics.up(ONE, "hello"), b"standing")
        assert [payload for _topic, payload in await heard(collector, 2)] == [b"known", b"standing"]


async def test_the_socket_notices_a_dead_line_by_itself(broker: Broker) -> None:
    """L03: kernel keep-alive and user timeout are set, both under 60 s."""
    async with connect(broker.pipe(broker.site.gateways[0])) as gateway:
        raw = gateway._guard.paho.socket()
        assert isinstance(raw, socket.socket)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


@pytest.mark.parametrize("broker", ["nats"], indirect=True)
async def test_the_nats_protocol_itself_lets_nobody_in(broker: Broker) -> None:
    """The server's own port refuses everyone, with or without TLS and certificate: MQTT only."""
    contexts: list[ssl.SSLContext | None] = [None]
    for party in (None, broker.site.gateways[0], broker.site.collector):
        certificate, key = (party.certificate, party.key) if party else (None, None)
        contexts.append(client_context(broker.site.ca, certificate, key))
    for context in contexts:
        answer = await asyncio.to_thread(_nats_answer, broker.client_port(), context)
        assert b"PONG" not in answer


def _nats_answer(port: int, context: ssl.SSLContext | None) -> bytes:
    """What a nats-server says to CONNECT and PING after its INFO and the TLS handshake, if any."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as plain, suppress(OSError):
        plain.recv(65536)
        speaking = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
        with speaking:
            speaking.sendall(b'CONNECT {"user":"CN=collector","pass":""}\r\nPING\r\n')
            while piece := speaking.recv(4096):
                answer += piece
                if b"PONG" in answer:
                    break
    return answer
