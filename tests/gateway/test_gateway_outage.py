"""Weeks of a gateway in virtual time: a link that is away for 35 days, one that never holds, a month without a leak."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cellar_parts import BusLine, device
from gateway_parts import CADENCE_MS, GATEWAY, Centre, Rig, Time, reading
from virtual import run

from gateway.config import MbusBus
from gateway.forward import AT_ONCE, Forward
from gateway.lines import Opened
from gateway.link import Connect, Conversation, Link, LivePipe, Party
from gateway.mbus import MbusReader
from gateway.poll import BusPoller
from gateway.schedule import Schedule
from gateway.tries import SAVED, Tries
from gateway.writer import InlineWriter
from protocols.transports.pipe import LinkLostError, PipeSettings
from protocols.uplink import topics
from protocols.uplink.envelope import open_envelope
from protocols.uplink.header import batch_id
from protocols.uplink.keys import BoxKey
from protocols.uplink.ranges import Range
from simulators.mbus.bus import Bus
from simulators.mbus.meters import cellar
from simulators.record import Record

OUTAGE = 35 * 96  # quarters of an hour
HOUR_S = 3_600
MEMORY = Path("/dev/shm")  # noqa: S108 - nothing of it is kept
DAYS = 30
ROOM = 768 << 10  # bytes of a buffer: 12 days
FULL = 14  # by then it is full, and as many batches go as come
LEAK = 128 << 10  # bytes in half a month of 24 batches a day; in a month of 96 that is 1 MiB


class Pipe:
    """A pipe whose other end hears everything, and says nothing by itself."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def subscribe(self, topics: Iterable[str]) -> None:
        """It says nothing."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Batches are kept."""
        if topic.endswith("/batch"):
            self.heard.append(payload)

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """None, until it breaks after some seconds."""
        await asyncio.sleep(5)
        raise LinkLostError("a live connection", "its end", "the pipe")
        yield  # a generator

    def peer_certificate(self) -> bytes:
        """None: there is no TLS here."""
        return b""


class House:
    """A gateway that seals a reading every quarter of an hour, its link, and the centre's word."""

    def __init__(self, folder: Path, connect: Connect, max_bytes: int = 64 << 20) -> None:
        self.rig, self.box = Rig(folder, time=Time(), max_bytes=max_bytes), BoxKey.generate()
        self.centre, uniform = Centre(self.box), random.Random(3).uniform
        self.forward = Forward(self.rig.chain, uniform, 16)
        self.talk, self.stored = Conversation((0, 0), None), set[bytes]()
        rig, party = self.rig, Party(GATEWAY, self.rig.key, self.box, self.centre.trust)
        settings, dice = PipeSettings("broker", 1, Path("ca"), None, None), random.Random(4).randbytes
        writer = InlineWriter()
        self.link = Link(
            party,
            settings,
            connect,
            self.forward,
            rig.chain,
            rig.buffer,
            writer,
            rig.sealer,
            rig.clock,
            self.talk,
            dice,
            uniform,
        )

    async def quarter(self) -> None:
        """One more batch."""
        self.rig.time.pass_ms(CADENCE_MS)
        self.rig.sealer.take([reading(self.rig.clock.utc_ms(), mono_ms=self.rig.time.mono_ms)])
        await self.rig.sealer.flush()

    async def drain(self, pipe: Pipe) -> int:
        """Send until all is stored, by the word of the centre, which says once a second what it has; the seconds."""
        clock = self.rig.clock
        self.forward.connected(clock.mono_ms())
        seconds, stored = 0, self.stored
        while list(self.rig.chain.unstored()):
            seconds, begun = seconds + 1, len(pipe.heard)
            while actions := self.forward.next_actions(clock.mono_ms(), clock.utc_ms(), clock.unset, AT_ONCE):
                for action in actions:
                    await self.link._act(pipe, action)
            stored |= {self.opened(each) for each in pipe.heard[begun:]}
            self.rig.time.pass_ms(1_000)
            said = self.centre.say(
                stored=self.ranges(stored), safe=self.ranges(stored), nonce=self.talk.nonce, time_ms=clock.utc_ms()
            )
            assert not isinstance(await self.link.hear(said), Exception)
        return seconds

    def opened(self, packet: bytes) -> bytes:
        """The id of the batch in a packet."""
        key = self.centre.mine
        return batch_id(open_envelope(packet, "batch", GATEWAY, {key.public.id: key}).header)

    def ranges(self, stored: set[bytes]) -> list[Range]:
        """What the centre has, as it names it: no range has a hole."""
        runs = itertools.groupby(self.rig.chain.entries(), key=lambda each: each.id in stored)
        held = [list(run) for has, run in runs if has]
        return [Range(run[0].epoch, run[0].seq, run[-1].seq, run[-1].id) for run in held]


@asynccontextmanager
async def nobody(_: PipeSettings) -> AsyncIterator[LivePipe]:
    """A broker that is not there."""
    raise LinkLostError("a broker", "nobody", "the pipe")
    yield  # a generator


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: nothing here is about the disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path) as name:
        yield Path(name)


@pytest.mark.slow
async def test_an_outage_of_35_days_loses_nothing_and_what_is_new_meanwhile_goes_too(folder: Path) -> None:
    """L01: every batch arrives, each once, and no reading was refused."""
    house, pipe = House(folder, nobody), Pipe()
    for _ in range(OUTAGE):
        await house.quarter()
    sealed = [each.id for each in house.rig.chain.entries()]
    assert len(sealed) == OUTAGE
    seconds = await house.drain(pipe)
    arrived = [house.opened(each) for each in pipe.heard]
    assert len(arrived) == len(set(arrived))
    assert set(arrived) == set(sealed)
    assert seconds < OUTAGE


@pytest.mark.parametrize("kind", ["nobody", "silent", "acknowledged"])
def test_a_link_that_flaps_is_tried_at_most_twice_a_minute(tmp_path: Path, kind: str) -> None:
    """L02, in any ten minutes: whether nobody listens, or each connection breaks soon, also behind an answer."""
    tries, dice, houses = list[float](), random.Random(5), list[House]()

    class Flapping(Pipe):
        async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
            await asyncio.sleep(dice.uniform(0.5, 5))
            if kind == "acknowledged":
                (house,) = houses
                at_ms = house.rig.clock.utc_ms()
                said = house.centre.say(stored=[], safe=[], nonce=house.talk.nonce, time_ms=at_ms)
                yield topics.down(GATEWAY, "ack"), said
            await asyncio.sleep(dice.uniform(0.5, 5))
            raise LinkLostError("a live connection", "its end", "the pipe")

    @asynccontextmanager
    async def counted(_: PipeSettings) -> AsyncIterator[LivePipe]:
        tries.append(asyncio.get_running_loop().time())
        if kind == "nobody":
            raise LinkLostError("a broker", "nobody", "the pipe")
        yield Flapping()

    async def hours() -> None:
        houses.append(House(tmp_path, counted))
        with suppress(TimeoutError):
            async with asyncio.timeout(6 * HOUR_S):
                await houses[0].link.run()

    run(hours(), 1)
    if kind == "acknowledged":
        assert houses[0].talk.last_ack is not None
    later = [each for each in tries if each > 5 * 60]
    assert sum(each < 60 for each in tries) <= SAVED + 2
    assert all(last - first > 10 * 60 for first, last in zip(later, later[20:], strict=False))
    assert len(tries) > 6 * 60  # and it is not given up: once a minute at least


def test_a_lone_cut_is_over_soon() -> None:
    """A broker that is away for six seconds has 98 of 100 gateways again in thirteen, and not all at one instant."""
    back = list[float]()
    for seed in range(1_000):
        tries, now_s = Tries(random.Random(seed).uniform), 1_000.0
        tries.begun(0.0)
        while now_s < 1_006:
            now_s += tries.pause_s(now_s)
            tries.begun(now_s)
        back.append(now_s)
    assert sorted(back)[980] < 1_006 + 13  # no pause is more than twice the time that it is away, and a second
    assert len(set(back)) == len(back)


def open_files() -> int:
    """The descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
async def test_a_month_of_reading_sealing_sending_and_removing_leaks_nothing(folder: Path) -> None:
    """G18, read hourly: neither memory (what Python allocates) nor descriptors nor threads."""
    house, pipe = House(folder, nobody, max_bytes=ROOM), Pipe()
    rig = house.rig
    devices = [replace(each, cadence_s=HOUR_S) for each in (device("heat", 1), device("water", 3))]
    bus = Bus(cellar(), Record(folder / "record.jsonl"), lambda: rig.time.wall_ms, 1)

    async def open_line() -> Opened:
        return Opened(BusLine(bus, rig.time))

    config = MbusBus(protocol="mbus", name="cellar", port="line", device=tuple(devices))
    reader = MbusReader(config, open_line, rig.clock, keep=True)
    poller = BusPoller("cellar", reader, Schedule(devices, {}), rig.clock, rig.sealer)
    found, sent = list[tuple[int, int, int]](), 0
    tracemalloc.start()
    for _ in range(DAYS):
        for _ in range(24):
            rig.time.pass_ms(HOUR_S * 1000 - rig.time.wall_ms % (HOUR_S * 1000))
            await poller._round()
        await house.drain(pipe)
        sent += len(pipe.heard)
        pipe.heard.clear()
        gc.collect()
        house.stored.intersection_update(each.id for each in rig.chain.entries())
        found.append((tracemalloc.get_traced_memory()[0], open_files(), threading.active_count()))
    tracemalloc.stop()
    assert sent == DAYS * 24
    assert len(rig.chain) < DAYS * 24
    assert found[-1][0] - found[FULL][0] < LEAK
    assert {each[1:] for each in found[FULL:]} == {found[FULL][1:]}
