"""Pushes of simulated meters through real sockets into a real buffer: sealed, confirmed, refused, held, bounded."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from gateway_parts import Rig

from gateway.acquaint import Acquaintance
from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms import DlmsReader
from gateway.push import Pushes
from gateway.pushshown import shown
from gateway.pushstore import PushStore, Remembered, Seen
from gateway.schedule import Due
from gateway.settled import Positions
from gateway.writer import InlineWriter
from protocols.dlms import clock as clocks
from protocols.dlms import unasked
from protocols.dlms.access import Framing
from protocols.dlms.arrival import MAX_APDU, Arrived
from protocols.dlms.ciphering import BOTH, Keys, Suite
from protocols.dlms.data import Data, Tag
from protocols.dlms.notification import DataNotification, EventNotification
from protocols.dlms.objects import REGISTER, Attribute
from protocols.dlms.wrapper import Message
from protocols.reading import How, MeterTime, Scaled, State
from protocols.settings.model import checked
from protocols.transports.listen import OF_ONE_SOURCE, Listener
from protocols.uplink import batch as batches
from protocols.uplink.leaf import SealedReading
from protocols.uplink.records import Event
from simulators.dlms.habits import changed
from simulators.dlms.meter import Meter
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.push import Aim, Form, Protect, Pusher, PushFault, PushFaults
from simulators.record import Record, read

KEYS = Keys(Suite.AES_128, b"canary-enc-key-0", b"canary-auth-key0")
LONG_KEYS = Keys(Suite.AES_256, bytes(range(32)), bytes(range(32, 64)))
PASSWORD = b"canary-password"
HERE = "127.0.0.1"
SERIAL = "50012345"
TITLE = "49534B1050012345"
HOUR = 64 * 1024
ENERGY = Attribute.of(REGISTER, "1-0:1.8.0.255")


class Site:
    """A meter, a gateway's sealer with its buffer, and the listener between them; time is passed by hand."""

    def __init__(self, folder: Path, device: DlmsDevice, keys: Keys) -> None:
        self.folder, self.device, self.keys = folder, device, keys
        self.rig = Rig(folder)
        self.record = Record(folder / "record.jsonl")
        self.meters = DlmsMeters(self.record, lambda: self.rig.time.wall_ms, password=PASSWORD, keys=keys)
        self.running: asyncio.Task[None] | None = None
        self.listener: Listener

    async def start(self, bytes_hour: int = HOUR) -> None:
        """As of a new process."""
        ports = (0, 0)
        if self.running is not None:
            ports = self.listener.tcp_port, self.listener.udp_port
            await self.end()
        store = PushStore(self.folder, InlineWriter())
        self.known = await store.remembered()
        self.acquaintance = Acquaintance(store, self.known)
        counters = CounterStore(self.folder, self.rig.clock.utc_ms)
        self.pushes = Pushes((self.device,), self.rig.clock, self.rig.sealer, store, self.known, counters, bytes_hour)
        self.listener = Listener(self.pushes)
        await self.listener.open(HERE, *ports)
        self.running = asyncio.create_task(self.pushes.run())

    async def end(self) -> None:
        """The process ends."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait({self.running})
        await self.listener.close()

    def pusher(self, kinds: Sequence[PushFault] = (), **aim: object) -> Pusher:
        """The meter behind the wrapper, pushing here; every push suffers one of `kinds` where any are given."""
        udp = bool(aim.get("udp"))
        port = self.listener.udp_port if udp else self.listener.tcp_port
        fields: dict[str, object] = {"protect": Protect.GLO, "confirmed": True} | aim
        faults = PushFaults(tuple(kinds), seed=1, every=1)
        meter, keys = self.meters.outlet(Framing.WRAPPER).meter, self.keys
        return Pusher(meter, Aim(HERE, port, **fields), self.record, lambda: self.rig.time.wall_ms, keys, faults)  # type: ignore[arg-type]

    async def visit(self) -> None:
        """Read the meter as the daemon does, and get to know it."""
        bus = DlmsBus(
            protocol="dlms", name="supply", url=f"tcp://{HERE}:{self.meters.wrapper_port}", device=(self.device,)
        )
        counters = CounterStore(self.folder, self.rig.clock.utc_ms)
        meet = self.acquaintance.meet
        reader = DlmsReader(bus, Positions({}), self.rig.clock, counters=counters, acquaint=meet)
        slot_ms = self.rig.time.wall_ms // 900_000 * 900_000
        await reader.read(Due(self.device, slot_ms, slot_ms + 900_000))

    async def settled(self) -> None:
        """What is in hand is durable, and counted."""
        await self.pushes.settle()

    def sealed(self) -> tuple[list[SealedReading], list[Event]]:
        """The pushes and the events in the buffer."""
        readings: list[SealedReading] = []
        events: list[Event] = []
        for entry in self.rig.chain.entries():
            content = self.rig.buffer.content(entry.id)
            assert content is not None
            batch = batches.parse(content)
            found = batches.expand(batch.header, batches.verify(batch, self.rig.key.public))
            readings += [each for each in found.readings if each.how is How.PUSH]
            events += [each for each in found.records if isinstance(each, Event)]
        return readings, events

    async def refused(self) -> list[str]:
        """The codes of what was held, once it is sealed."""
        await self.rig.sealer.flush()
        return [str(each.parameters[0]) for each in self.sealed()[1] if each.code == "push-refused"]

    def counted(self, name: str) -> dict[str, int]:
        """What `status` shows."""
        return shown(self.folder).counters.get(name, {})


def device(folder: Path, keys: Keys = KEYS, **changed: object) -> DlmsDevice:
    """The ciphered meter, with its key files."""
    hexed = {"enc": keys.encryption.hex().encode(), "auth": keys.authentication.hex().encode()}
    for name, octets in {"password": PASSWORD, **hexed}.items():
        (folder / name).write_bytes(octets)
        (folder / name).chmod(0o600)
    fields: dict[str, object] = {
        "name": "main",
        "cadence_s": 900,
        "client": 18,
        "auth": "hls-sha256",
        "ciphering": "both",
        "suite": int(keys.suite),
        "password_file": folder / "password",
        "encryption_key_file": folder / "enc",
        "authentication_key_file": folder / "auth",
        "system_title": "504C420000000001",
        "meter_title": TITLE,
        "push": True,
    }
    return checked(DlmsDevice, fields | changed)


def plain(**changed: object) -> DlmsDevice:
    """The meter without ciphering."""
    fields: dict[str, object] = {"name": "main", "cadence_s": 900, "client": 16, "push": True, "push_from": HERE}
    return checked(DlmsDevice, fields | changed)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A ciphered meter, listening."""
    found = Site(tmp_path, device(tmp_path), KEYS)
    await found.meters.start()
    await found.start()
    yield found
    await found.end()
    await found.meters.stop()
    found.record.close()


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("protect", [Protect.GLO, Protect.GENERAL])
async def test_a_ciphered_push_is_a_reading_of_its_meter_and_is_confirmed(
    site: Site, protect: Protect, udp: bool
) -> None:
    """Values as the meter's record has them, its own time, no slot, the APDU under the seal, the answer ciphered."""
    pusher = site.pusher(protect=protect, udp=udp)
    await site.visit()
    await pusher.push()
    assert pusher.confirmed == [0x4000_0001]
    ((found,), _) = site.sealed()
    said = next(each for each in read(site.record.path) if each.kind == "push")
    numbers = {key: number["m"] for key, number in said.values.items()}
    shown_values = {str(each.key).removeprefix("dlms:"): each for each in found.values}
    assert {key: shown_values[key].number.mantissa for key in numbers} == numbers  # type: ignore[union-attr]
    assert {shown_values[key].state for key in numbers} == {State.OK}
    assert (found.device, found.slot_ms, str(found.meter_time)) == ("main", None, said.time)
    assert found.meter.logical_name == "ISK1050012345678"
    assert shown(site.folder).last == {"main": site.rig.time.wall_ms}


@pytest.mark.parametrize("doubt", [clocks.DOUBTFUL, clocks.DIFFERENT_BASE])
async def test_a_push_whose_time_the_meter_doubts_is_kept_and_feeds_no_billing(
    site: Site, monkeypatch: pytest.MonkeyPatch, doubt: int
) -> None:
    """Its numbers and its time are there."""
    made = Meter.stamped

    def doubted(meter: Meter, at_ms: int) -> tuple[MeterTime, bytes]:
        time, octets = made(meter, at_ms)
        return time, octets[:-1] + bytes((octets[-1] | doubt,))

    monkeypatch.setattr(Meter, "stamped", doubted)
    pusher = site.pusher()
    await site.visit()
    await pusher.push()
    ((found,), _) = site.sealed()
    said = next(each for each in read(site.record.path) if each.kind == "push")
    assert str(found.meter_time) == said.time
    assert {each.state for each in found.values} == {State.UNKNOWN}
    assert {each.number.mantissa for each in found.values if isinstance(each.number, Scaled)} >= {
        int(each["m"]) for each in said.values.values()
    }


async def test_suite_2_has_long_keys(tmp_path: Path) -> None:
    site = Site(tmp_path, device(tmp_path, LONG_KEYS), LONG_KEYS)
    await site.start()
    pusher = site.pusher()
    await pusher.push()
    assert pusher.confirmed == [0x4000_0001]
    await site.end()


async def test_what_is_not_known_of_a_register_is_unknown_until_the_meter_is_visited(site: Site) -> None:
    """A number without its scaler feeds no billing; the visit asks for the scaler, once."""
    pusher = site.pusher(form=Form.NAMED)
    await pusher.push()
    await site.visit()
    site.rig.time.pass_ms(60_000)
    await pusher.push()
    (before, after), _ = site.sealed()
    assert {each.state for each in before.values if isinstance(each.number, Scaled)} == {State.UNKNOWN}
    assert {each.state for each in after.values if isinstance(each.number, Scaled)} == {State.OK}
    assert {each.unit for each in after.values if isinstance(each.number, Scaled)} == {"Wh", "var.h", "W", "V"}


async def test_values_alone_need_the_meters_push_list(site: Site) -> None:
    """Without it the push is held; the next visit reads the list, and the push after that is a reading."""
    pusher = site.pusher(form=Form.BARE, confirmed=False)
    await pusher.push()
    await site.settled()
    assert await site.refused() == ["PLB-M317"]
    await site.visit()
    site.rig.time.pass_ms(60_000)
    await pusher.push()
    await site.settled()
    assert len(site.sealed()[0]) == 1


async def test_a_retry_is_confirmed_and_not_sealed_again(site: Site) -> None:
    """The same bytes twice: one reading, and both are answered; after a restart, too."""
    pusher = site.pusher([PushFault.TWICE])
    await pusher.push()
    await site.settled()
    await site.start()
    await pusher.send(pusher.sent[-1])
    await site.settled()
    assert len(site.sealed()[0]) == 1
    assert len(pusher.confirmed) == 3
    assert site.counted("pushes-repeated") == {"main": 2}


async def test_a_push_that_overtook_another_costs_neither(site: Site) -> None:
    """A counter below the highest that never came is taken: datagrams overtake each other."""
    pusher = site.pusher([PushFault.DELAYED], confirmed=False)
    for _ in range(3):
        site.rig.time.pass_ms(60_000)
        await pusher.push()
    await site.settled()
    assert len(site.sealed()[0]) == 2


async def test_an_old_counter_is_refused_as_a_replay(site: Site) -> None:
    """A recorded push that is not among the last ones is no push, whatever its tag says; a restart forgets nothing."""
    pusher = site.pusher(confirmed=False)
    for _ in range(66):
        site.rig.time.pass_ms(60_000)
        await pusher.push()
    await site.settled()
    await site.start()
    first = next(each for each in read(site.record.path) if each.kind == "push")
    old = Message(1, 1, bytes.fromhex(first.telegram)).to_bytes()
    await pusher.send(old)
    await site.settled()
    assert site.counted("pushes-refused") == {"PLB-M382": 1}
    assert await site.refused() == ["PLB-M382"]


@pytest.mark.parametrize(("fault", "code"), [(PushFault.FORGED, "PLB-M340"), (PushFault.CUT, "PLB-M318")])
async def test_a_damaged_push_is_held_and_sent_again(site: Site, fault: PushFault, code: str) -> None:
    """It is no reading and gets no answer; what the meter sends again is."""
    pusher = site.pusher([fault])
    await pusher.push()
    await site.settled()
    assert pusher.confirmed == [0x4000_0001]
    assert await site.refused() == [code]
    assert len(site.sealed()[0]) == 1


async def test_a_plain_push_of_a_ciphered_meter_is_refused(site: Site) -> None:
    """It could be anybody's, whatever it says."""
    pusher = site.pusher(protect=Protect.NONE, confirmed=False)
    await site.visit()
    await pusher.push()
    await site.settled()
    assert await site.refused() == ["PLB-M381"]
    assert site.sealed()[0] == []


async def test_a_stranger_is_held_with_his_bytes_and_is_no_reading(site: Site) -> None:
    """An unknown title: the event has the source, the hash and the APDU."""
    apdu = unasked.general(bytes.fromhex("0f0000000100") + b"\x02\x00", KEYS, BOTH, 1, b"STRANGER", b"")
    assert await site.pushes.came(Arrived(apdu, 1), "192.0.2.7") is None
    await site.settled()
    await site.rig.sealer.flush()
    (event,) = [each for each in site.sealed()[1] if each.code == "push-refused"]
    assert event.parameters[0] == "PLB-M380"
    assert event.parameters[2] == "192.0.2.7"
    assert event.parameters[4] == apdu
    assert event.device is None


async def test_a_stranger_cannot_fill_the_disk(site: Site) -> None:
    """Of 2,000 different pushes of 20 sources no more is sealed than the budgets allow; all are counted."""
    for number in range(2_000):
        apdu = unasked.general(b"\x0f" + bytes(200), KEYS, BOTH, number, b"STRANGER", b"")
        await site.pushes.came(Arrived(apdu, 1), f"192.0.2.{number % 20}")
    await site.settled()
    await site.rig.sealer.flush()
    held = [each for each in site.sealed()[1] if each.code == "push-refused"]
    assert sum(len(str(each.parameters[4])) for each in held) < 1_000_000
    assert 0 < len(held) <= 64 * 1024 // 256
    assert site.counted("pushes-refused") == {"PLB-M380": 2_000}
    assert site.counted("pushes-not-kept") == {"PLB-M380": 2_000 - len(held)}


async def test_a_meter_has_a_quota(site: Site) -> None:
    """What it pushes beyond it is refused by name and counted, and goes on later."""
    await site.start(bytes_hour=256)
    pusher = site.pusher(confirmed=False)
    for _ in range(6):
        site.rig.time.pass_ms(1_000)
        await pusher.push()
    await site.settled()
    sealed = len(site.sealed()[0])
    assert 0 < sealed < 6
    assert site.counted("pushes-refused") == {"PLB-M383": 6 - sealed}
    site.rig.time.pass_ms(4 * 3_600_000)
    await pusher.push()
    await site.settled()
    assert len(site.sealed()[0]) == sealed + 1


async def test_it_is_confirmed_only_when_it_is_durable(site: Site) -> None:
    """A disk that does not take the batch gives no answer; the same push is confirmed when it does."""
    apdu = bytes.fromhex(_made(site))
    other = sqlite3.connect(site.rig.buffer.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # the gateway's own commit waits for it, and gives up
    assert await site.pushes.came(Arrived(apdu, 1), HERE) is None
    assert await site.pushes.came(Arrived(apdu, 1), HERE) is None
    other.execute("ROLLBACK")
    other.close()
    assert site.sealed()[0] == []
    await site.rig.sealer.flush()
    assert await site.pushes.came(Arrived(apdu, 1), HERE) is not None
    await site.settled()
    assert {each.meter_time for each in site.sealed()[0]} == {site.sealed()[0][0].meter_time}
    assert site.counted("pushes-refused") == {"PLB-M384": 2}


def _made(site: Site) -> str:
    """A confirmed push's APDU, as it travels."""
    pusher = site.pusher()
    octets, _ = pusher.made(None)
    return octets[8:].hex()


async def test_one_source_has_few_connections_and_others_still_get_in(site: Site) -> None:
    """Connections that say nothing are bounded; a meter's push beside them is taken."""
    idle = [await asyncio.open_connection(HERE, site.listener.tcp_port) for _ in range(OF_ONE_SOURCE + 2)]
    ended = [asyncio.create_task(reader.read(1)) for reader, _ in idle]
    done, _ = await asyncio.wait(ended, timeout=1)
    assert len(done) == 2
    for reader, writer in idle:
        del reader
        writer.close()
    await asyncio.sleep(0.05)
    pusher = site.pusher()
    await pusher.push()
    assert pusher.confirmed
    for each in ended:
        each.cancel()


async def test_a_message_that_is_too_long_ends_the_connection(site: Site) -> None:
    """Its header says so: nothing of it is waited for."""
    reader, writer = await asyncio.open_connection(HERE, site.listener.tcp_port)
    writer.write(Message(1, 1, bytes(MAX_APDU + 1)).to_bytes()[:16])
    assert await reader.read(1) == b""
    writer.close()
    await site.settled()
    assert site.counted("pushes-refused") == {"PLB-M319": 1}


async def test_a_plain_meter_is_known_by_name_or_address(tmp_path: Path) -> None:
    """From its address it is taken; from another it is refused, and so is another meter's name from there."""
    site = Site(tmp_path, plain(), KEYS)
    await site.meters.start()
    await site.start()
    await site.visit()
    pusher = site.pusher(protect=Protect.NONE)
    apdu = pusher.apdu(site.rig.time.wall_ms, 0x4000_0001)
    assert await site.pushes.came(Arrived(apdu, 1), HERE) == unasked.confirm(0x4000_0001)
    assert await site.pushes.came(Arrived(apdu, 1), "192.0.2.7") is None
    other = pusher.apdu(site.rig.time.wall_ms, 2).replace(b"ISK1050012345678", b"ISK1050012345679")
    assert await site.pushes.came(Arrived(other, 1), HERE) is None
    await site.settled()
    assert len(site.sealed()[0]) == 1
    assert await site.refused() == ["PLB-M380", "PLB-M385"]
    await site.end()
    await site.meters.stop()


async def test_the_offset_of_a_push_has_the_sign_that_its_meter_writes(tmp_path: Path) -> None:
    """As of what is read of it: the reading has the instant, and the calendar that the meter shows."""
    site = Site(tmp_path, plain(offset_sign="reversed"), KEYS)
    now_ms = site.rig.time.wall_ms
    site.meters = DlmsMeters(
        site.record, lambda: now_ms, password=PASSWORD, keys=KEYS, changed=lambda plate: changed(plate, "reversed")
    )
    await site.meters.start()
    await site.start()
    await site.visit()
    await site.pusher(protect=Protect.NONE).push()
    ((found,), _) = site.sealed()
    assert found.meter_time is not None
    assert clocks.utc_ms(found.meter_time) == now_ms // 1000 * 1000
    await site.end()
    await site.meters.stop()


async def test_an_event_notification_is_an_event_of_its_meter(tmp_path: Path) -> None:
    """With the attribute, what it shows and its bytes; it is no reading."""
    site = Site(tmp_path, plain(), KEYS)
    await site.start()
    apdu = EventNotification(b"", ENERGY, Data(Tag.DOUBLE_LONG_UNSIGNED, 7)).to_bytes()
    assert await site.pushes.came(Arrived(apdu, 1), HERE) is None
    await site.settled()
    (event,) = [each for each in site.sealed()[1] if each.code == "meter-event"]
    assert (event.device, event.parameters[0], event.parameters[4]) == ("main", "3/1-0:1.8.0.255/2", apdu)
    assert site.sealed()[0] == []
    await site.end()


async def test_the_same_again_after_a_while_is_another_push_of_a_plain_meter(tmp_path: Path) -> None:
    """Some meters count no pushes and send no time: ten minutes later the same words are news."""
    site = Site(tmp_path, plain(), KEYS)
    await site.start()
    body = bytes.fromhex("0202" + "0906" + ENERGY.name.hex() + "0600000007")
    apdu = DataNotification.from_bytes(bytes.fromhex("0f0000000000") + body).to_bytes()
    for pause_ms in (0, 60_000, 600_000):
        site.rig.time.pass_ms(pause_ms)
        await site.pushes.came(Arrived(apdu, 1), HERE)
        await site.settled()
    assert len(site.sealed()[0]) == 2
    await site.end()


async def test_what_is_known_of_a_meter_outlives_the_process(site: Site) -> None:
    """Identity, push list and scalers are in the file."""
    pusher = site.pusher()
    await site.visit()
    await site.start()
    met = site.known.meters["main"]
    assert met.identity.logical_name == "ISK1050012345678"
    assert met.kept.listed == pusher.listed
    assert met.kept.scales[ENERGY].unit == "Wh"


def test_a_window_takes_each_counter_once() -> None:
    """Up to 63 below the highest; what lies below is too old."""
    seen = Seen().took(100)
    assert [seen.takes(each) for each in (100, 101, 99, 37, 36)] == [False, True, True, True, False]
    seen = seen.took(99).took(105)
    assert [seen.takes(each) for each in (105, 104, 100, 99, 98)] == [False, True, False, False, True]
    assert seen.without(105).takes(105)
    assert Seen().took(0).took(2**32 - 1).takes(0) is False


async def test_a_file_that_is_gone_costs_nothing(tmp_path: Path) -> None:
    assert (await PushStore(tmp_path, InlineWriter()).remembered()) == Remembered()


async def test_the_same_words_under_a_new_counter_are_news_after_a_while(site: Site) -> None:
    """A ciphered meter that shows the same for hours is not silent; what is recorded and replayed stays old."""
    plain_push = DataNotification.from_bytes(bytes.fromhex("0f4000000000020209060100010800ff0600000007")).to_bytes()
    for number, pause_ms in enumerate((0, 60_000, 600_000)):
        site.rig.time.pass_ms(pause_ms)
        apdu = unasked.general(plain_push, KEYS, BOTH, number, bytes.fromhex(TITLE), b"")
        assert await site.pushes.came(Arrived(apdu, 1), HERE) is not None
    site.rig.time.pass_ms(900_000)
    assert await site.pushes.came(Arrived(apdu, 1), HERE) is not None
    assert len(site.sealed()[0]) == 2
