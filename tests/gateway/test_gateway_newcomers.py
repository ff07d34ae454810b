"""A meter that is selected by its number falls silent: the line is searched for who is there in its place."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cellar_parts import BusLine, Kept
from gateway_parts import NOW_MS, Time
from mbus_bench import plate

from gateway import events, newcomers
from gateway.buses import pollers
from gateway.clock import GatewayClock
from gateway.config_file import configuration_from
from gateway.lines import MACHINE
from gateway.mbus import MbusReader
from gateway.newcomers import Newcomer, Silent, compatible, offers
from gateway.poll import BusPoller
from gateway.settled import Positions
from gateway.writer import InlineWriter
from protocols.mbus.select import SELECT, Secondary
from protocols.mbus.timing import USB_SLACK_MS, Timing
from protocols.transports.exchange import ClosableLine
from protocols.uplink.records import Event
from simulators.mbus.bus import Bus
from simulators.mbus.faults import Faults
from simulators.record import Record, read

NUMBERS = [f"6030000{n}" for n in range(1, 8)]
OLD, NEW = NUMBERS[0], "60399999"
CADENCE_S, AFTER_S = 60, 600
MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Heard(BusLine):
    """A line that keeps which patterns of several meters were selected."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.bus, site.time)
        self.site = site

    async def write(self, octets: bytes) -> None:
        """The slaves hear it, and so do we."""
        if octets[6:7] == bytes((SELECT,)) and octets[0] == 0x68:
            digits = octets[7:11][::-1].hex().upper()
            if "F" in digits:
                self.site.wide.append((self.time.wall_ms, str(Secondary(digits, medium=octets[14]))))
                self.site.rests.append(self.site.poller._rest_ms())
        await super().write(octets)


class Site:
    """Heat meters on one line, all selected by their numbers, and a gateway that can be started anew."""

    def __init__(self, folder: Path, *, letters: str = "KAM", **settings: Any) -> None:
        self.folder, self.time, self.kept = folder, Time(NOW_MS // DAY_MS * DAY_MS), Kept()
        self.media = dict.fromkeys(NUMBERS, 4)
        made = [plate(number, letters, address=n) for n, number in enumerate(NUMBERS, 1)]
        self.bus = Bus(made, Record(folder / "record.jsonl"), lambda: self.time.wall_ms, 1, skew_bits=20)
        self.wide: list[tuple[int, str]] = []
        self.rests: list[int] = []  # until something was due, at each of these
        self.settings = {"after_s": AFTER_S, **settings}
        self.device: dict[str, Any] = {}
        self.by_address = False
        self.start()

    def start(self) -> None:
        """A new process."""
        devices = [
            {"name": number, "medium": medium, "cadence_s": CADENCE_S, **self.reached(n, number), **self.device}
            for n, (number, medium) in enumerate(self.media.items(), 1)
        ]
        bus = {"protocol": "mbus", "name": "riser", "port": "/dev/line", "device": devices}
        table = {"gateway": "gateway-1", "state_folder": str(self.folder), "keys_folder": "keys"}
        more = {"broker": {"host": "localhost", "port": 8883}, "bus": [bus], "newcomers": self.settings}
        self.configuration = configuration_from(table | more, self.folder, "test")
        clock = GatewayClock(self.time.sources())
        lines = replace(MACHINE, serial=self.line)
        (self.poller,) = pollers(self.configuration, {}, Positions({}), clock, self.kept, lines, InlineWriter())

    def reached(self, address: int, number: str) -> dict[str, Any]:
        """The key by which a meter is reached."""
        return {"address": address} if self.by_address else {"secondary": number}

    def line(self, port: str, baud: int, mode: str) -> ClosableLine:
        """The line, opened."""
        return Heard(self)

    async def minutes(self, count: int) -> None:
        """Poll for so long, as the poller's own loop does."""
        end_ms = self.time.wall_ms + count * MINUTE_MS
        while self.time.wall_ms < end_ms:
            await self.poller._round()
            await self.poller._look()
            self.time.pass_ms(min(1_000, max(1, self.poller._rest_ms())))

    @property
    def reader(self) -> MbusReader:
        """The reader of the line."""
        assert isinstance(self.poller._reader, MbusReader)
        return self.poller._reader

    def next_day(self) -> None:
        """Nobody looks until midnight."""
        self.time.pass_ms(DAY_MS - self.time.wall_ms % DAY_MS)

    def swap(self, old: str = OLD, new: str = NEW) -> None:
        """Exchange a meter."""
        self.bus.swap(1 + list(self.media).index(old), new)

    def found(self) -> list[Event]:
        """The events of newcomers."""
        return [each for each in self.kept.events if each.code == events.NEWCOMER_FOUND]

    def offered(self) -> list[tuple[str, tuple[str, ...], bool]]:
        """What `status` shows."""
        return [(each.newcomer.number, each.devices, each.sure) for each in newcomers.standing(self.configuration)]


def lost(site: Site, healthy: list[str]) -> Counter[str]:
    """How many slots each healthy device has no reading of, from its first one on."""
    found: Counter[str] = Counter()
    for name in healthy:
        slots = {each.slot_ms for each in site.kept.readings if each.device == name}
        first, last = NOW_MS // DAY_MS * DAY_MS, site.time.wall_ms // 1000 // CADENCE_S * CADENCE_S * 1000
        found[name] = len(set(range(first, last, CADENCE_S * 1000)) - slots)
    return found


async def test_the_new_meter_in_the_place_of_a_silent_one_is_found_read_once_and_proposed(tmp_path: Path) -> None:
    """Under its own identity, without a slot, for no device; and the healthy ones keep all their slots."""
    site = Site(tmp_path)
    await site.minutes(3)
    site.swap()
    await site.minutes(60)
    (event,) = site.found()
    assert event.device == f"newcomer {NEW}"
    assert event.parameters[4:] == ("PLB-M205", f"{OLD} is silent: was it exchanged for this one?")
    (reading,) = [each for each in site.kept.readings if each.device == event.device]
    assert (reading.meter.id, reading.slot_ms) == (NEW, None)
    assert site.offered() == [(NEW, (OLD,), True)]
    assert set(lost(site, NUMBERS[1:]).values()) == {0}
    longest_ms = Timing(2400, USB_SLACK_MS).answered_ms(17)
    assert min(site.rests) > 2 * longest_ms


async def test_while_nobody_is_silent_nothing_is_searched(tmp_path: Path) -> None:
    """However many strangers are on the line."""
    site = Site(tmp_path)
    site.bus.others.append(Bus([plate(NEW)], Record(tmp_path / "r"), lambda: 0).slaves[0])
    await site.minutes(60)
    assert site.wide == []


@pytest.mark.parametrize("settings", [{"search": False}, {"after_s": 86_400}])
async def test_it_is_not_searched_before_its_time_or_where_it_is_switched_off(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """The silent one goes on failing as ever."""
    site = Site(tmp_path, **settings)
    site.swap()
    await site.minutes(60)
    assert site.wide == []
    assert site.offered() == []


async def test_a_day_has_so_many_selections_at_the_most_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """No pattern of the first day is begun anew but the one that was under way."""
    site = Site(tmp_path, selections_a_day=12)
    site.swap()
    days = 0
    while not site.found() and days < 20:
        await site.minutes(15)
        site.next_day()
        days += 1
    by_day: dict[int, list[str]] = {}
    for at_ms, pattern in site.wide:
        by_day.setdefault(at_ms // DAY_MS, []).append(pattern)
    assert len(site.found()) == 1
    assert len(by_day) > 1
    assert all(len(each) <= 12 for each in by_day.values())
    first, second, *_ = by_day.values()
    assert set(first[:-1]) & set(second) <= {first[-1]}


async def test_a_start_in_the_middle_goes_on_and_each_process_says_who_was_found(tmp_path: Path) -> None:
    """The file in the state folder has it; the newcomer is read once, and who is silent has to be so anew."""
    site = Site(tmp_path)
    site.swap()
    while len(site.wide) < 20:
        await site.minutes(1)
    site.start()
    before = len(site.wide)
    await site.minutes(1)
    assert site.wide[0][1] not in {pattern for _, pattern in site.wide[before:]}
    for said in (1, 2, 3):
        await site.minutes(60)
        assert len(site.found()) == said
        site.start()
    assert [each.meter.id for each in site.kept.readings if each.slot_ms is None] == [NEW]
    assert site.offered() == [(NEW, (OLD,), True)]


@pytest.mark.parametrize("written", ["noise=0.5,garble=0.5", "garble=1", "wrong_address=0.5,late=0.3,partial=0.2"])
async def test_a_line_full_of_rubbish_costs_what_a_day_may_cost(tmp_path: Path, written: str) -> None:
    """It neither ends nor goes round for ever; who answers clearly in between may be found."""
    site = Site(tmp_path, selections_a_day=40)
    await site.minutes(2)
    site.swap()
    await site.minutes(15)
    site.bus.faults = Faults.parse(written)
    for _ in range(3):
        await site.minutes(30)
        site.next_day()
    by_day = Counter(at_ms // DAY_MS for at_ms, _ in site.wide)
    assert max(by_day.values()) <= 40
    assert {number for number, *_ in site.offered()} <= {NEW}


async def test_two_silent_meters_are_both_named_and_none_is_proposed(tmp_path: Path) -> None:
    """A person knows which."""
    site = Site(tmp_path)
    site.swap()
    del site.bus.slaves[2]
    await site.minutes(90)
    assert site.offered() == [(NEW, (NUMBERS[0], NUMBERS[1]), False)]
    assert site.found()[-1].parameters[5] == f"nobody configured it; silent are {NUMBERS[0]}, {NUMBERS[1]}"


async def test_when_the_silent_one_answers_again_nothing_is_proposed(tmp_path: Path) -> None:
    """And nothing is searched any more."""
    site = Site(tmp_path)
    site.swap()
    await site.minutes(60)
    site.bus.others.append(Bus([plate(OLD)], Record(tmp_path / "r"), lambda: site.time.wall_ms).slaves[0])
    await site.minutes(2)
    before = len(site.wide)
    site.next_day()
    await site.minutes(30)
    assert len(site.wide) == before
    assert site.offered() == [(NEW, (), False)]


async def test_a_meter_that_measures_something_else_is_no_newcomer(tmp_path: Path) -> None:
    """The search asks meters of the silent one's kind alone."""
    site = Site(tmp_path)
    site.bus.others.append(Bus([plate(NEW, medium=7)], Record(tmp_path / "r"), lambda: 0).slaves[0])
    del site.bus.slaves[1]
    await site.minutes(90)
    assert site.wide
    assert site.offered() == []
    assert {Secondary.of(pattern).medium for _, pattern in site.wide} == {0x04, 0x0A, 0x0B, 0x0C, 0x0D}


async def test_a_command_that_has_the_line_or_waits_for_it_goes_first(tmp_path: Path) -> None:
    """Nothing is asked while it is lent; the next rest is the search's again."""
    site = Site(tmp_path)
    site.swap()
    while not site.wide:
        await site.minutes(1)
    while site.poller._rest_ms() < 15_000:
        site.time.pass_ms(1_000)
        await site.poller._round()
    done, before = asyncio.Event(), len(site.wide)

    async def work() -> list[Any]:
        await done.wait()
        return []

    lent = asyncio.create_task(site.poller.lend(work))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await site.poller._look()
    assert len(site.wide) == before
    done.set()
    await lent
    await site.poller._look()
    assert len(site.wide) > before


async def test_who_may_have_heard_the_search_is_reset_at_the_next_visit(tmp_path: Path) -> None:
    """A meter may keep the frame count bit of the search, and would give an old telegram for ours."""
    site = Site(tmp_path)
    site.swap()
    fits = [False]
    while not any(fits):
        site.time.pass_ms(1_000)
        await site.poller._round()
        slaves = [each.slave for each in site.reader._meters.values()]
        before = len(site.wide)
        await site.poller._look()
        heard = [Secondary.of(pattern) for _, pattern in site.wide[before:]]
        fits = [any(each.meets(Secondary(number)) for each in heard) for number in NUMBERS[1:]]
    assert all(each.reset_due for each, fit in zip(slaves[1:], fits, strict=True) if fit)


async def test_a_line_that_is_nearly_full_is_left_alone_and_status_says_so(tmp_path: Path) -> None:
    """A search costs the healthy ones a reset each, for which there may be no time."""
    site = Site(tmp_path)
    site.device = {"cadence_s": 10}
    site.start()
    site.swap()
    await site.minutes(20)
    assert site.wide == []
    (sought,) = newcomers.searches(site.configuration).values()
    assert (sought.silent[0].device, sought.why) == (OLD, "the line is too full")


def test_a_file_of_another_kind_is_no_state(tmp_path: Path) -> None:
    """It costs a search, and nothing else."""
    for octets in (
        b"",
        b"[]",
        b'{"bus": {}}',
        b'[1, [["riser", [], [], 0, 0, 0, [], [999], null, false, ""]]]',
        b"[" * 10_000,
    ):
        (tmp_path / newcomers.FILE).write_bytes(octets)
        assert newcomers.read(tmp_path) == {}


def test_kinds_that_fit_each_other_are_offered_apart() -> None:
    """A heat meter and a water meter that are silent, and a new one of each: two proposals."""
    silent = [Silent(device="heat", since_ms=1, medium=4), Silent(device="bath", since_ms=1, medium=0x15)]
    new = [
        Newcomer(number=f"0000000{n}", manufacturer="KAM", version=1, medium=medium, found_ms=1)
        for n, medium in enumerate((0x0C, 6, 8))
    ]
    found = offers("riser", silent, new)
    assert [(each.devices, each.sure) for each in found] == [(("heat",), True), (("bath",), True), ((), False)]
    assert compatible(None, 4)
    assert not compatible(4, 7)


def test_nothing_is_searched_where_all_meters_have_addresses(tmp_path: Path) -> None:
    """There another meter answers at the address of the old one, and is followed (docs/adr/0018)."""
    site = Site(tmp_path)
    site.by_address = True
    site.start()
    assert isinstance(site.poller, BusPoller)
    assert site.poller._lookout is None


@pytest.mark.parametrize(("cadence_s", "is_found"), [(600, True), (500, False)])
async def test_no_battery_meter_is_asked_more_often_than_its_model_allows(
    tmp_path: Path, cadence_s: int, is_found: bool
) -> None:
    """170 times a day by number: what its visits leave of that is the search's, on as many days as it takes."""
    site = Site(tmp_path, letters="EFE")
    site.device = {"cadence_s": cadence_s, "manufacturer": "EFE", "version": 1}
    site.start()
    site.swap()
    for _ in range(4):
        await site.minutes(60)
        assert max((*newcomers.read(tmp_path)["riser"].questions.values(), 0)) <= max(0, 170 - 86_400 // cadence_s)
        site.next_day()
    answered = Counter((each.meter, each.at_ms // DAY_MS) for each in read(tmp_path / "record.jsonl"))
    assert max(answered.values()) <= 170
    assert bool(site.found()) is is_found
    why = newcomers.read(tmp_path)["riser"].why
    assert is_found or f"the battery of {NUMBERS[1]} allows no more questions" in why
