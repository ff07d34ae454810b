"""The link against a collector's counterpart over a pipe in memory: what is sent, believed, counted and set aside."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_parts import GATEWAY, NOW_MS, Centre, Rig, Time, reading
from power import Disks

from gateway import events
from gateway.chain import Mark
from gateway.clock import GatewayClock
from gateway.faults import WriteFailed
from gateway.forward import AT_ONCE, WINDOW, YOUNG_MS, Forward, SendBatch, SendHello
from gateway.link import Conversation, Link, Party
from gateway.marks import NO_ORDER, accept
from gateway.writer import InlineWriter
from protocols.transports.pipe import LinkLostError, PipeSettings
from protocols.uplink import batch as batches
from protocols.uplink import topics
from protocols.uplink.envelope import open_envelope
from protocols.uplink.hello import Hello
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.ranges import Range
from protocols.uplink.records import Event, Lost, Record, TimeCorrection

DOWN = topics.down(GATEWAY, "ack")


class MemoryPipe:
    """The pipe's other end: what was published, and what comes down."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.coming: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self.subscribed: list[str] = []

    async def subscribe(self, topics: Iterable[str]) -> None:
        """What the link wants to hear."""
        self.subscribed += topics

    async def publish(self, topic: str, payload: bytes) -> None:
        """What the link says."""
        self.published.append((topic.rsplit("/", 1)[1], payload))
        await asyncio.sleep(0)

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """What comes down."""
        while True:
            found = await self.coming.get()
            if found is None:
                raise LinkLostError("a live connection", "its end", "the pipe")
            yield found

    def peer_certificate(self) -> bytes:
        """None: there is no TLS here."""
        return b""


class Site:
    """A gateway's link to a collector's counterpart."""

    def __init__(self, folder: Path, time: Time | None = None) -> None:
        self.rig = Rig(folder, time=time)
        self.box = BoxKey.generate()
        self.centre = Centre(self.box)
        self.pipe = MemoryPipe()
        self.settings: list[PipeSettings] = []
        self.link = self.make_link()

    def make_link(self) -> Link:
        """The link as the daemon wires it."""
        rig, uniform = self.rig, random.Random(3).uniform
        party = Party(GATEWAY, rig.key, self.box, self.centre.trust)
        settings = PipeSettings("broker", 1, Path("ca"), None, None)

        @asynccontextmanager
        async def connect(given: PipeSettings) -> AsyncIterator[MemoryPipe]:
            self.settings.append(given)
            yield self.pipe

        known = rig.buffer.known()
        self.talk = Conversation(known.order, known.last_ack)
        forward = Forward(rig.chain, uniform, known.window)
        return Link(
            party,
            settings,
            connect,
            forward,
            rig.chain,
            rig.buffer,
            InlineWriter(),
            rig.sealer,
            rig.clock,
            self.talk,
            random.Random(4).randbytes,
            uniform,
        )

    async def until_sent(self, count: int) -> None:
        """Let the link run until so many messages left."""
        async with asyncio.timeout(20):
            while len(self.pipe.published) < count:  # noqa: ASYNC110 - the pipe tells nobody
                await asyncio.sleep(0.001)

    async def hear(self, packet: bytes, topic: str = DOWN) -> None:
        """Hand a packet to the link and let it work."""
        await self.pipe.coming.put((topic, packet))
        for _ in range(20):
            await asyncio.sleep(0)

    def hello(self) -> Hello:
        """The last hello."""
        packet = [payload for kind, payload in self.pipe.published if kind == "hello"][-1]
        content = open_envelope(packet, "hello", GATEWAY, {self.centre.mine.public.id: self.centre.mine})
        self.rig.key.public.verify("hello", content.header, content.signature)
        return Hello.from_bytes(content.header)

    def sent(self) -> list[int]:
        """Numbers of the batches that left, each opened and verified."""
        found = []
        for kind, payload in self.pipe.published:
            if kind == "batch":
                content = open_envelope(payload, "batch", GATEWAY, {self.centre.mine.public.id: self.centre.mine})
                batch = batches.parse(content)
                batches.verify(batch, self.rig.key.public)
                found.append(batch.header.seq)
        return found

    def counters(self) -> dict[str, int]:
        """What was counted, by code."""
        with sqlite3.connect(self.rig.buffer.path) as database:
            return {code: count for _, code, count in database.execute("SELECT name, code, count FROM counter")}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A link that runs, with three batches."""
    made = Site(tmp_path)
    await made.rig.seal(3)
    task = asyncio.create_task(made.link.run())
    await made.until_sent(5)  # status, hello, three batches
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def records(rig: Rig) -> list[Record]:
    return list(rig.sealer._records)


def noted(rig: Rig) -> list[str]:
    return [each.code for each in records(rig) if isinstance(each, Event)]


async def test_a_connection_begins_with_subscriptions_and_a_hello_of_all_that_is_held(site: Site) -> None:
    """And only then come the batches, sealed to the collector's box."""
    assert [kind for kind, _ in site.pipe.published] == ["status", "hello", "batch", "batch", "batch"]
    assert DOWN in site.pipe.subscribed
    assert site.settings[0].will_topic == topics.up(GATEWAY, "status")
    assert site.hello().held == (site.rig.all(),)
    assert sorted(site.sent()) == [1, 2, 3]


async def test_an_acknowledgement_marks_on_the_disk_and_survives_a_restart(site: Site) -> None:
    """Its order too: the same one again is stale."""
    packet = site.centre.say([site.rig.all()])
    await site.hear(packet)
    await site.hear(packet)
    assert set(site.rig.buffer.chain().marked().values()) == {Mark.STORED}
    assert site.counters() == {"PLB-X107": 1}
    assert site.rig.buffer.known().order == (1, 1)
    assert site.rig.buffer.known().last_ack == site.talk.last_ack


async def test_what_does_not_count_is_counted_by_its_code_and_changes_nothing(site: Site) -> None:
    """Damaged, forged and foreign ones, and what is reserved for later."""
    good = site.centre.say([site.rig.all()])
    await site.hear(good[:-1] + bytes([good[-1] ^ 1]))
    await site.hear(b"\xc1")
    await site.hear(site.centre.say([site.rig.all()], key=SigningKey.generate()))
    await site.hear(site.centre.say([site.rig.all()], collector="other"))
    await site.hear(b"", topics.down(GATEWAY, "command"))
    assert site.counters() == {"PLB-X103": 1, "PLB-P101": 1, "PLB-X101": 1, "PLB-P201": 1, "command": 1}
    assert site.rig.chain.marked() == {}


async def test_a_contradiction_makes_a_new_epoch_by_itself(site: Site) -> None:
    """Somebody continued our chain: nothing is renumbered, the next batch has a parent."""
    before = site.rig.sealer.epoch
    await site.hear(site.centre.say([Range(before, 1, 9, b"x" * 32)]))
    assert site.rig.sealer.epoch != before
    await site.rig.seal()
    newest = list(site.rig.chain.entries())[-1]
    assert (newest.epoch, newest.seq) == (site.rig.sealer.epoch, 1)


async def test_a_mark_that_the_answer_takes_back_is_an_event(site: Site) -> None:
    """The collector lost what it had confirmed."""
    await site.hear(site.centre.say([site.rig.all()]))
    await site.hear(site.centre.say(nonce=site.hello().nonce))
    assert site.rig.chain.marked() == {}
    assert events.MARK_TAKEN_BACK in noted(site.rig)


async def test_a_generation_that_rises_clears_all_marks_and_is_an_event(site: Site) -> None:
    """All is offered again."""
    await site.hear(site.centre.say(safe=[site.rig.all()]))
    site.centre.generation, site.centre.number = 2, 0
    await site.hear(site.centre.say())
    assert site.rig.chain.marked() == {}
    assert events.GENERATION in noted(site.rig)
    assert site.rig.buffer.chain().marked() == {}


@pytest.mark.parametrize("rotten", ["body = zeroblob(length(body))", "codec = 77", "header = x''"])
async def test_a_rotten_batch_is_set_aside_and_declared_lost_before_it_is_sent(tmp_path: Path, rotten: str) -> None:
    """G06: the others go on.

    A codec that is none ended the link, again and again; found by the fuzz harness.
    """
    site = Site(tmp_path)
    await site.rig.seal(3)
    with sqlite3.connect(site.rig.buffer.path) as database:
        database.execute(f"UPDATE content SET {rotten} WHERE n = 2")  # noqa: S608 - constants
    task = asyncio.create_task(site.link.run())
    await site.until_sent(4)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(site.sent()) == [1, 3]
    lost = [each for each in records(site.rig) if isinstance(each, Lost)]
    assert [(each.first, each.last) for each in lost] == [(2, 2)]
    assert events.BATCH_ROTTEN in noted(site.rig)
    assert [entry.seq for entry in site.rig.buffer.chain().entries()] == [1, 3]
    assert [gap[1:] for gap in site.rig.buffer.known().gaps] == [(2, 2)], "until the record is committed"
    await site.rig.sealer.flush()
    assert site.rig.buffer.known().gaps == ()


@pytest.mark.parametrize("rotten", ["algorithm = 9", "algorithm = 3", "octets = x'00'", "octets = zeroblob(32)"])
async def test_a_damaged_table_of_own_keys_costs_no_batch(tmp_path: Path, rotten: str) -> None:
    """The key with which the gateway seals now is known without it."""
    site = Site(tmp_path)
    await site.rig.seal(3)
    with sqlite3.connect(site.rig.buffer.path) as database:
        database.execute(f"UPDATE own_key SET {rotten}")  # noqa: S608 - constants
    for entry in list(site.rig.chain.entries()):
        assert await site.link._checked(entry.id) is not None
    assert len(site.rig.chain) == 3


async def test_a_batch_that_the_disk_does_not_give_is_not_declared_lost_and_holds_up_no_other(tmp_path: Path) -> None:
    """G05: a block that fails to read is no damaged buffer; the batch is sent once it reads."""
    disks = Disks(tmp_path)
    try:
        disk = disks.make(tmp_path / "disk", "xfs")
    except PermissionError as error:
        pytest.skip(str(error))
    try:
        site = Site(disk.folder)
        await site.rig.seal(3, 20_000)
        disk.cut()  # from here on every read fails that no page cache of SQLite answers
        for entry in list(site.rig.chain.entries()):
            assert await site.link._checked(entry.id) is None
        assert len(site.rig.chain) == 3
        assert not [each for each in site.rig.sealer._records if isinstance(each, Lost)]
        site.rig.buffer.close()
    finally:
        disks.remove()


async def test_a_clock_in_1970_reads_marks_and_sends_hellos_only_until_signed_time(tmp_path: Path) -> None:
    """R20: then the batches leave, and a correction record tells what was wrong."""
    site = Site(tmp_path, Time(wall_ms=0))
    quality = site.rig.clock.quality()
    site.rig.sealer.take([reading(site.rig.clock.utc_ms(), quality=quality)])
    await site.rig.sealer.flush()
    assert not quality.synchronised
    forward = site.link._forward
    forward.connected(0)
    found = forward.next_actions(0, site.rig.clock.utc_ms(), site.rig.clock.unset)
    assert [type(each) for each in found] == [SendHello]
    site.link._hello(())
    packet = site.centre.say(nonce=site.talk.nonce, time_ms=NOW_MS)
    await site.link._take(accept(packet, GATEWAY, site.box, site.centre.trust, NO_ORDER))
    assert not site.rig.clock.unset
    assert site.rig.buffer.known().signed_ms == NOW_MS
    assert any(isinstance(each, TimeCorrection) for each in records(site.rig))
    found = forward.next_actions(10, site.rig.clock.utc_ms(), site.rig.clock.unset)
    assert SendBatch in [type(each) for each in found]


async def test_a_hello_that_leaves_while_the_disk_is_slow_takes_nothing_from_the_answer_to_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is set by what was said with the first, and the second waits for an answer of its own."""
    time = Time(wall_ms=0)
    site = Site(tmp_path, time)
    site.link._hello(())
    packet = site.centre.say(nonce=site.talk.nonce, time_ms=NOW_MS)
    time.pass_ms(40)
    mark = site.rig.buffer.mark

    def slowly(*given: object) -> None:
        time.pass_ms(6_000)
        site.link._hello(())
        mark(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(site.rig.buffer, "mark", slowly)
    await site.link._take(accept(packet, GATEWAY, site.box, site.centre.trust, NO_ORDER))
    (corrected,) = [each for each in records(site.rig) if isinstance(each, TimeCorrection)]
    assert corrected.when.quality.uncertainty_ms == 6_040
    assert abs(site.rig.clock.utc_ms() - (NOW_MS + 6_000)) <= 6_040 // 2
    assert site.talk.nonce is not None


def test_a_step_that_nobody_looked_at_yet_is_no_good_time() -> None:
    """Between the step and the next look what is read is not called synchronised."""
    time = Time()
    clock = GatewayClock(time.sources())
    assert clock.quality().synchronised
    time.wall_ms += 3_600_000
    assert not clock.quality().synchronised
    assert clock.check() is not None
    assert clock.quality().synchronised


async def test_tls_dates_are_ignored_only_while_the_clock_is_unset(tmp_path: Path) -> None:
    """L06 stays in force for everybody else."""
    for time, expected in ((Time(wall_ms=0), True), (Time(), False)):
        folder = tmp_path / str(expected)
        folder.mkdir()
        site = Site(folder, time)
        task = asyncio.create_task(site.link.run())
        await site.until_sent(2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [each.ignore_dates for each in site.settings] == [expected]


async def test_marks_that_the_disk_does_not_take_are_written_with_the_next_acknowledgement(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G04: they stop resending meanwhile; after a restart only what is on the disk counts."""

    def fail(*_: object) -> None:
        raise WriteFailed("a disk that takes what is written", "a read-only one", "test")

    with monkeypatch.context() as patched:
        patched.setattr(site.rig.buffer, "mark", fail)
        await site.hear(site.centre.say(safe=[site.rig.all()]))
    assert set(site.rig.chain.marked().values()) == {Mark.SAFE}
    assert site.rig.buffer.chain().marked() == {}
    await site.hear(site.centre.say())
    assert set(site.rig.buffer.chain().marked().values()) == {Mark.SAFE}


async def test_what_is_sealed_while_a_backlog_leaves_waits_for_few_messages_only(tmp_path: Path) -> None:
    """However slow the line is: a whole window, decided at once, would be minutes of it."""
    made, sealed_behind = Site(tmp_path), 4
    await made.rig.seal(WINDOW * 2)
    made.rig.time.pass_ms(YOUNG_MS)
    hand_over = made.pipe.publish

    async def publish(topic: str, payload: bytes) -> None:
        await hand_over(topic, payload)
        if len(made.sent()) == sealed_behind and topic.endswith("batch"):
            made.rig.sealer.take([reading(made.rig.clock.utc_ms())])
            await made.rig.sealer.flush()

    made.pipe.publish = publish  # type: ignore[method-assign]
    task = asyncio.create_task(made.link.run())
    await made.until_sent(2 + WINDOW)  # status and hello before them
    assert WINDOW * 2 + 1 in made.sent()[: sealed_behind + AT_ONCE + 1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
