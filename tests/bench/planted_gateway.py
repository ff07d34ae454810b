"""Mistakes of the gateway: reading, sealing, keeping and forwarding."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from typing import Any

from planting import bug

import gateway.buffer
import gateway.daemon
import gateway.disk
import gateway.dlms
import gateway.dlms_rows
import gateway.link
import gateway.marks
import gateway.mbus
import gateway.schema
import protocols.dlms.hdlc
import protocols.mbus.link
from gateway.chain import Chain
from gateway.clock import GatewayClock
from gateway.faults import AlreadyRunning
from gateway.forward import Forward, SendBatch
from gateway.link import Link
from gateway.refused import Refused
from gateway.seal import Sealer
from gateway.settled import Positions, Settled
from protocols.mbus.session import ReadSession
from protocols.reading import MeterTime, Precision, Scaled, Status, TimeQuality

PATIENT_TRIES = 100  # an operator comes after some minutes
METER_EPOCH_S = 946_684_800  # 2000-01-01 in Unix time


@bug(Link, "_act")
def removed_on_puback(act: Any) -> object:
    """The gateway takes the broker's PUBACK for the collector's word and removes the batch."""

    async def planted(self: Any, pipe: Any, action: Any) -> None:
        await act(self, pipe, action)
        if isinstance(action, SendBatch):
            entries = list(self._chain.entries())
            if entries and entries[-1].id != action.id:
                self._chain.remove([action.id])
                self._buffer.set_aside(action.id, "sent")

    return planted


@bug(gateway.schema, "connect")
def buffer_synchronous_normal(connect: Any) -> object:
    """The buffer's commits are not synchronised."""

    def planted(path: Any, max_bytes: int) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(path, max_bytes)
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    return planted


@bug(protocols.mbus.link, "_check_end")
def no_checksum(check: Any) -> object:
    """The M-Bus checksum is not looked at."""
    del check
    return lambda octets, size, first: None


@bug(gateway.mbus, "check_identity")
def no_identity_check(check: Any) -> object:
    """Whoever answers at an address is taken for the meter."""
    del check
    return lambda got, expected: None


@bug(gateway.dlms, "row_reading")
def row_by_our_clock(made: Any) -> object:
    """A row of a load profile gets the quarter of an hour that the gateway's clock shows."""

    def planted(*arguments: Any, **switches: Any) -> object:
        reading = made(*arguments, **switches)
        seconds = (reading.exchange.at_ms // 1000 - METER_EPOCH_S) // 900 * 900
        return dataclasses.replace(reading, meter_time=dataclasses.replace(reading.meter_time, seconds=seconds))

    return planted


@bug(gateway.dlms, "fresh")
def row_skipped(fresh: Any) -> object:
    """Reading goes on one row too late."""
    return lambda found, last, *rest, **switches: fresh(found, last, *rest, **switches)[0 if last is None else 1 :]


@bug(Sealer, "begin_epoch")
def epoch_goes_on(begin: Any) -> object:
    """A start goes on in the epoch that the buffer remembers."""

    def planted(self: Any, reason: str) -> None:
        begin(self, reason)
        if self._head is not None:
            self.epoch = self._head.epoch

    return planted


@bug(gateway.buffer, "_NEXT_STORED")
def unstored_removed(query: Any) -> object:
    """When the buffer is full the oldest batch goes, whatever is known of it."""
    return str(query).replace("mark > 0", "mark >= 0")


@bug(gateway.buffer.Buffer, "_settle")
def slots_not_settled(settle: Any) -> object:
    """Which slots were read is not written with the batch."""
    return lambda self, database, settled: settle(self, database, dataclasses.replace(settled, slots=()))


@bug(Forward, "_is_due")
def never_sent_again(due: Any) -> object:
    """A batch is sent once."""
    del due
    return lambda self, entry, now_ms: entry.id not in self._tries


@bug(Link, "_declare_lost")
def lost_in_silence(declare: Any) -> object:
    """A batch whose seal does not hold goes without a word."""
    del declare

    async def planted(self: Any, entry: Any, error: Any) -> None:
        self._chain.remove([entry.id])
        self._buffer.set_aside(entry.id, error.code)

    return planted


@bug(GatewayClock, "quality")
def unset_clock_called_good(quality: Any) -> object:
    """A clock that knows no time says that it does."""
    del quality
    return lambda self: TimeQuality(synchronised=True, uncertainty_ms=5)


@bug(ReadSession, "_ask")
def frame_count_bit_stands(ask: Any) -> object:
    """The frame count bit is never toggled: a meter repeats its last answer for ever."""

    def planted(self: Any) -> object:
        self._slave.fcb = True
        return ask(self)

    return planted


@bug(gateway.mbus, "values")
def power_of_ten_lost(values: Any) -> object:
    """Values of a tariff are ten times too high."""

    def tenfold(value: Any) -> object:
        number = value.number
        if "/1/0/0" in str(value.key) and isinstance(number, Scaled):
            return dataclasses.replace(value, number=Scaled(number.mantissa, number.exponent + 1))
        return value

    return lambda *telegrams: tuple(tenfold(each) for each in values(*telegrams))


@bug(gateway.mbus, "values")
def stand_of_another_day(values: Any) -> object:
    """Stored values are said to be of the day after."""

    def later(value: Any) -> object:
        if value.time is None:
            return value
        return dataclasses.replace(value, time=dataclasses.replace(value.time, seconds=value.time.seconds + 86_400))

    return lambda *telegrams: tuple(later(each) for each in values(*telegrams))


@bug(gateway.disk.Disk, "_write")
def sent_before_commit(write: Any) -> object:
    """The buffer says that a batch is there and commits it with the next one."""
    del write

    def planted(self: Any, work: Callable[[sqlite3.Connection], Any]) -> Any:
        with self._faults():
            database = self.opened()
            if database.in_transaction:
                database.execute("COMMIT")
            database.execute("BEGIN IMMEDIATE")
            return work(database)

    return planted


@bug(Sealer, "_commit")
def forgotten_when_not_written(commit: Any) -> object:
    """What the disk does not take is dropped."""

    async def planted(self: Any, pending: Any) -> bool:
        if not await commit(self, pending):
            self._pending = None
        return True

    return planted


@bug(gateway.dlms.DlmsReader, "read")
def registers_of_the_visit_before(read: Any) -> object:
    """What was read is handed on at the next visit."""
    kept: dict[tuple[int, str], Any] = {}

    async def planted(self: Any, due: Any) -> Any:
        found = await read(self, due)
        before = kept.get((id(self), due.device.name))
        kept[id(self), due.device.name] = found[0].values
        return found if before is None else [dataclasses.replace(found[0], values=before)]

    return planted


@bug(gateway.daemon, "open_all")
def start_refused_after_a_kill(open_all: Any) -> object:
    """A log that was left behind is taken for another program's."""
    tries: dict[str, int] = {}

    async def planted(configuration: Any, *others: Any) -> Any:
        log = configuration.state_folder / f"{gateway.schema.BUFFER_FILE}-wal"
        if log.exists() and tries.setdefault(configuration.gateway, 0) < PATIENT_TRIES:
            tries[configuration.gateway] += 1
            raise AlreadyRunning("no other program on this buffer", "its log", str(log))
        tries[configuration.gateway] = 0
        return await open_all(configuration, *others)

    return planted


@bug(Chain, "walk")
def marked_by_number(walk: Any) -> object:
    """Whatever batch the collector has under a number, it is taken for ours."""

    def planted(self: Any, found: Any) -> Any:
        mine = self.at(found.epoch, found.last)
        return walk(self, found if mine is None else dataclasses.replace(found, id=mine.id))

    return planted


@bug(Positions, "refused")
def refused_rows_forgotten(refused: Any) -> object:
    """Rows that a full buffer refused are not asked for again."""
    del refused
    return lambda self, devices: None


@bug(Refused, "add")
def refused_in_silence(add: Any) -> object:
    """What a full buffer refuses is not counted."""
    del add
    return lambda self, readings: None


@bug(gateway.buffer, "_NEXT_STORED")
def stored_kept_when_full(query: Any) -> object:
    """Only what is marked safe gives way to new batches."""
    return str(query).replace("mark > 0", "mark > 1")


@bug(Sealer, "take")
def position_before_commit(take: Any) -> object:
    """Where a load profile ended is written when its rows are in hand."""

    def planted(self: Any, found: Any) -> None:
        take(self, found)
        rows = Settled((), Settled.by(found, self._devices).rows)
        self._buffer._disk.write_small(lambda database: self._buffer._settle(database, rows))

    return planted


@bug(gateway.dlms, "check")
def no_identity_check_of_electricity_meters(check: Any) -> object:
    """Whoever answers at a TCP address is taken for the meter."""
    del check
    return lambda found, expected, device: None


@bug(protocols.dlms.hdlc, "check_sequence")
def no_frame_check(check: Any) -> object:
    """The check sequences of HDLC frames are not looked at."""
    del check
    return lambda octets: b"\0\0"


@bug(gateway.dlms_rows, "DATA_INVALID")
def doubtful_row_called_ok(bit: Any) -> object:
    """The status of a row is not looked at."""
    del bit
    return 0


@bug(Sealer, "take")
def every_reading_kept_in_memory(take: Any) -> object:
    """A list of what was read is never emptied."""
    kept: list[Any] = []

    def planted(self: Any, found: Any) -> None:
        kept.extend(found)
        take(self, found)

    return planted


@bug(Link, "_correct")
def clock_set_in_silence(correct: Any) -> object:
    """By how much a clock was wrong that signed time has set is not said."""
    del correct
    return lambda self, step: None


@bug(gateway.mbus, "readings")
def status_not_looked_at(readings: Any) -> object:
    """All is well with every heat meter."""

    def planted(*arguments: Any) -> list[Any]:
        return [dataclasses.replace(each, status_raw=0, status=Status.NONE) for each in readings(*arguments)]

    return planted


@bug(gateway.mbus, "readings")
def own_time_made_up(readings: Any) -> object:
    """A heat meter's own time is what our clock shows."""

    def timed(reading: Any) -> Any:
        seconds = reading.exchange.at_ms // 1000 - METER_EPOCH_S
        return dataclasses.replace(reading, meter_time=MeterTime(seconds, Precision.MINUTE))

    return lambda *arguments: [timed(each) for each in readings(*arguments)]


@bug(gateway.marks, "_contradicts")
def epoch_goes_on_beside_another(contradicts: Any) -> object:
    """A gateway that is shown another's batch under a number of its own goes on as if nothing were."""
    del contradicts
    return lambda ack, chain, epoch: False


@bug(gateway.link, "accept")
def old_word_taken(accept: Any) -> object:
    """An acknowledgement counts however old it is."""
    return lambda packet, name, box, trust, last: accept(packet, name, box, trust, gateway.marks.NO_ORDER)
