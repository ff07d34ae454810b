"""The message proxy repeats, delays and loses messages between real clients and a real broker, and says how many."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from servers import Broker

from protocols.transports.mqtt import Pipe, connect
from protocols.uplink import topics
from simulators.proxy import packets
from simulators.proxy.messages import Ends, MessageFaults, MessageProxy
from simulators.proxy.packets import PacketError, Packets

SENT = 30
WAIT_S = 15.0  # everything that is expected has come by then
SURPLUS_S = 0.4  # what comes too often comes within this time after it
TOPIC = topics.up("gateway-1", "batch")
WORDS = [f"message {n}".encode() for n in range(SENT)]


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[MessageProxy]:
    """A proxy before a real broker, for gateway-1."""
    gateway, own = broker.site.gateways[0], broker.site.broker
    ends = Ends(broker.site.ca, own.certificate, own.key, gateway.certificate, gateway.key)
    found = MessageProxy(broker.port, random.Random(3), ends)
    await found.start()
    yield found
    await found.stop()


async def arrived(proxy: MessageProxy, broker: Broker, expected: Callable[[], int]) -> list[bytes]:
    """What a collector at the broker gets of what gateway-1 sends through the proxy: all, and what comes soon after."""
    settings = broker.pipe(broker.site.gateways[0], port=proxy.port)
    heard: list[bytes] = []
    async with connect(broker.pipe(broker.site.collector)) as collector, connect(settings) as gateway:
        await collector.subscribe([TOPIC])
        listening = asyncio.create_task(_hear(collector, heard))
        for word in WORDS:
            await gateway.publish(TOPIC, word)
        await _until(lambda: len(heard) >= expected())
        listening.cancel()
    return heard


async def _hear(pipe: Pipe, heard: list[bytes]) -> None:
    async for _, payload in pipe.messages():
        heard.append(payload)


async def _until(holds: Callable[[], bool]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            while not holds():  # noqa: ASYNC110 - what is awaited has no event
                await asyncio.sleep(0.02)
    await asyncio.sleep(SURPLUS_S)


async def test_without_a_fault_every_message_comes_once_and_in_order(proxy: MessageProxy, broker: Broker) -> None:
    """Nothing is counted."""
    assert await arrived(proxy, broker, lambda: SENT) == WORDS
    assert not proxy.counts


async def test_duplicated_messages_come_twice(proxy: MessageProxy, broker: Broker) -> None:
    """Each of them."""
    proxy.faults = MessageFaults(duplicate=1.0, late_s=0.3)
    assert sorted(await arrived(proxy, broker, lambda: 2 * SENT)) == sorted(WORDS * 2)
    assert proxy.counts == {"duplicate": SENT}


async def test_late_messages_are_overtaken_and_come_once(proxy: MessageProxy, broker: Broker) -> None:
    """All arrive, in another order."""
    proxy.faults = MessageFaults(late=0.5, late_s=0.5)
    heard = await arrived(proxy, broker, lambda: SENT)
    assert sorted(heard) == sorted(WORDS)
    assert heard != WORDS
    assert 0 < proxy.counts["reorder"] <= proxy.counts["late"] < SENT


async def test_swallowed_messages_are_acknowledged_and_never_come(proxy: MessageProxy, broker: Broker) -> None:
    """The sender's publish returns as if all were well."""
    proxy.faults = MessageFaults(swallow=0.5)
    heard = await arrived(proxy, broker, lambda: SENT - proxy.counts["swallow"])
    assert len(heard) == SENT - proxy.counts["swallow"] < SENT
    assert heard == [word for word in WORDS if word in heard]


async def test_messages_to_a_client_suffer_as_well(proxy: MessageProxy, broker: Broker) -> None:
    """An acknowledgement on its way down comes twice."""
    proxy.faults = MessageFaults(duplicate=1.0, late_s=0.2)
    topic, heard = topics.down("gateway-1", "ack"), list[bytes]()
    settings = broker.pipe(broker.site.gateways[0], port=proxy.port)
    async with connect(broker.pipe(broker.site.collector)) as collector, connect(settings) as gateway:
        await gateway.subscribe([topic])
        listening = asyncio.create_task(_hear(gateway, heard))
        await collector.publish(topic, b"stored")
        await _until(lambda: len(heard) >= 2)
        listening.cancel()
    assert heard == [b"stored", b"stored"]


def test_packets_are_cut_wherever_the_stream_is() -> None:
    """Byte by byte, the same packets as at once."""
    topic = b"\x00\x03a/b"
    publish = bytes([0x32]) + b"\x87\x01" + topic + b"\x00\x07" + bytes(128)
    stream = publish + packets.puback(9) + b"\xc0\x00" + bytes([0x30, 6]) + topic + b"!"
    whole = Packets().feed(stream)
    cut = Packets()
    assert [packet for octet in stream for packet in cut.feed(bytes([octet]))] == whole
    assert [packets.identifier(packet) for packet in whole] == [7, 9, None, None]
    again = packets.copy(publish, 65_535)
    assert (again[0], packets.identifier(again), again[10:]) == (0x3A, 65_535, publish[10:])


@pytest.mark.parametrize("octets", [b"\x30\xff\xff\xff\xff\x01", b"\x30\xff\xff\xff\x7f"])
def test_what_is_no_mqtt_is_refused_before_it_is_held(octets: bytes) -> None:
    """A length of five bytes, and one of 256 MiB."""
    with pytest.raises(PacketError):
        Packets().feed(octets)
