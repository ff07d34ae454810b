"""A DLMS meter that is read once a day: its rows come all the same day, whatever comes between."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dlms_street import QUARTER_MS, Street

from gateway.config import DlmsBus
from gateway.dlms import DlmsReader
from gateway.guests import Guests
from gateway.poll import BusPoller
from gateway.schedule import PATIENT_CAP_MS, Schedule
from gateway.settled import Settled
from protocols.dlms.objects import DEVICE_ID
from protocols.reading import How, Reading
from protocols.uplink.pack import Wire
from protocols.uplink.records import Event

HISTORY_ROWS = 200  # of the simulated meter
ROUNDS = 16  # twice as many as its pieces


class Sink:
    """Keeps what a poller brings; rows count as committed at once, and a piece of them lets `pass_ms` go by."""

    def __init__(self, street: Street, pass_ms: int = 0) -> None:
        self.street, self.pass_ms, self.has_room = street, pass_ms, True
        self.taken: list[list[Reading]] = []

    def take(self, found: list[Reading]) -> None:
        """Keep them."""
        self.taken.append(found)
        self.street.positions.committed(Settled.by(found, {}).rows)
        if found[0].how is How.PROFILE:
            self.street.time.pass_ms(self.pass_ms)

    def note(self, event: Event) -> None:
        """Events are told elsewhere."""

    async def round_over(self) -> None:
        """Nothing is sealed here."""


DAILY = {"cadence_s": None, "cadence": "daily at 00:10", "timezone": "Europe/Prague"}


async def test_rows_of_a_daily_meter_go_on_after_what_was_due(tmp_path: Path) -> None:
    """Found in review: what came between its pieces left the rest of an outage in the meter until the next day."""
    street = Street(tmp_path)
    await street.start()
    sink = Sink(street, QUARTER_MS)
    daily, often = street.device(**DAILY), street.device(name="twin", profile=None)
    bus = DlmsBus(
        protocol="dlms", name="street", url=f"tcp+hdlc://127.0.0.1:{street.meters.hdlc_port}", device=(daily, often)
    )
    schedule = Schedule(bus.device, {})
    polling = BusPoller("street", DlmsReader(bus, street.positions, street.clock), schedule, street.clock, sink)
    for _ in range(ROUNDS):
        await polling._round()
    assert sum(len(found) for found in sink.taken if found[0].how is How.PROFILE) >= HISTORY_ROWS
    spot = [found[0].device for found in sink.taken if found[0].how is How.READ]
    assert spot.count("pump") == 1 < spot.count("twin")
    await street.stop()


async def test_rows_of_a_daily_meter_that_nobody_took_are_asked_for_again_the_same_day(tmp_path: Path) -> None:
    """Not at once, and not a day later: after a rest."""
    street = Street(tmp_path)
    await street.start()
    sink = Sink(street)
    sink.has_room = False
    daily = street.device(**DAILY)
    polling = BusPoller("street", street.reader(daily), Schedule([daily], {}), street.clock, sink)
    await polling._round()
    sink.has_room = True
    street.time.pass_ms(PATIENT_CAP_MS - 1)
    await polling._round()
    assert [found[0].how for found in sink.taken] == [How.READ]
    street.time.pass_ms(1)
    await polling._round()
    assert sum(len(found) for found in sink.taken[1:]) >= HISTORY_ROWS
    assert [found[0].how for found in sink.taken].count(How.READ) == 1
    await street.stop()


async def test_a_command_is_answered_between_two_pieces_of_a_back_fill(tmp_path: Path) -> None:
    """A technician waited for all rows of all meters of a bus: after an outage for longer than a command is patient."""
    street = Street(tmp_path)
    await street.start()
    sink, device = Sink(street), street.device()
    reader = street.reader(device)
    guests = Guests(reader)
    polling = BusPoller("street", reader, Schedule([device], {}), street.clock, sink, guests=guests)
    wanted: list[Wire] = [DEVICE_ID.class_id, DEVICE_ID.name, DEVICE_ID.number]
    asked, taken_before = asyncio.create_task(guests.ask("pump", [0, [wanted]])), list[int]()
    asked.add_done_callback(lambda _: taken_before.append(len(sink.taken)))
    await polling._round()
    await street.stop()
    assert asked.done()
    assert taken_before == [2]  # the reading of the slot and one piece
    assert len(sink.taken) > 3
