"""What must be at the end of a run, and is looked up in the store, the buffers and the meters' own record.

* Nothing missing: every slot in which nothing disturbed the reading, every answer that a living gateway had in hand for
  12 s, and every row of every load profile is stored.
* Nothing twice: no telegram under two readings, no two contents for one reading.
* Nothing altered: every stored reading shows exactly what that meter showed then.
* Nothing forged is stored, every seal holds, every gap has a cause.
* Two contents of one reading are both there and marked; every epoch that forked, and no other, has its case and is
  held.
"""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import evidence
from nodes import RING, STORE, GatewayNode
from schedule import Fault
from stage import Stage
from world import START_MS

from collector import runs
from collector.epochs import State, judge
from collector.shown import kind_of, shown, state_name
from collector.store.evidence import UNDECODED
from collector.store.readings import ReadingRow
from collector.store.sqlite import SqliteStore
from gateway.refused import READINGS_REFUSED
from gateway.schema import BUFFER_FILE
from protocols.reading import How, NativeKey, Protocol, Status, Value
from protocols.uplink.leaf import SealedReading, leaf_from_bytes
from simulators.record import Answered
from simulators.site.count import displayed

SEALED_MS = 12_000  # a reading is sealed 10 s after the answer at the latest, and a round may end in between
QUIET_MS = 60_000  # before a slot: the longest pause between two tries
CLOCK_MS = 2_000  # a clock that says it is synchronised is right within this, and half of the exchange
LATCHED_MS = (
    30_000  # a DLMS meter shows what it latched when the association began: frames may have been repeated since
)
# SQLite 3.40 says this of a table WITHOUT ROWID in which a column of the key stands behind another one.
FALSE_ALARM = "NULL value in lost.reason"
SHOWN = 12  # violations of one kind that are told
# Faults of one gateway in which its reading or writing is disturbed, beyond the times in which it does not run.
ROT = frozenset({"gateway-rot", "gateway-rot-bit"})
DEAD_CLOCK = frozenset({"gateway-1970"})
SET_WRONG = frozenset({"gateway-clock", "gateway-clock-far"})
DISTURB = SET_WRONG | {
    "gateway-1970",
    *ROT,
    "gateway-rollback",
    "gateway-cut-io",
    "dlms-silent",
    "dlms-drops",
    "meters-garbled",
    "meter-silent",
    "dlms-garbled",
    "dlms-swapped",
    "meter-swapped",
    "port-pulled",
}
LASTING_MS = 630_000  # of faults without a duration: the next write meets them
DISK = frozenset({"gateway-disk-full", "gateway-sync-fails"})
CAUSES = {"broken": frozenset({"gateway-clone", "gateway-rollback", "gateway-twin", *ROT})}
CAUSES["orphan"] = ROT | {"gateway-wiped"}
CAUSES["restored"] = frozenset({"collector-restore"})
# Objects of ours that are in memory when all is at rest, and for each gateway and day those of processes that ended.
OBJECTS, OBJECTS_A_DAY, OBJECTS_A_LIFE = 4_000, 1_000, 400
HOLDING = ("broken", "orphan")  # cases that hold whole epochs
FULL_MS = 90_000  # what is refused was answered so long before the buffer said that it is full
STATUS_AT = 16  # of the status byte in a long frame with a header of twelve bytes
MEANT = (0, Status.BUSY, Status.APPLICATION_ERROR, Status.ABNORMAL)  # by its two lowest bits
OWN_TIME = "6d/0/0/0/0"  # what a heat meter shows its own time under
DATES = ("6c", "6d")  # what records of dates begin with
Shown = dict[str, dict[str, str]]


@dataclass
class Verdict:
    """What a run came to; `held` where there are no violations. The digest is over all that is stored."""

    seed: int
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    objects: int = 0  # of ours in memory at its end

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    @property
    def kinds(self) -> set[str]:
        """The kinds of what went wrong."""
        return {each.partition(":")[0] for each in self.violations}

    def add(self, kind: str, what: str) -> None:
        """One violation."""
        self.counts[f"violations: {kind}"] += 1
        if self.counts[f"violations: {kind}"] <= SHOWN:
            self.violations.append(f"{kind}: {what}")


def give(stage: Stage, faults: Iterable[Fault]) -> Verdict:
    """The verdict over a stage at rest."""
    verdict = Verdict(stage.plan.seed)
    verdict.counts.update(stage.world.counts)
    for each in stage.world.unexpected:
        verdict.add("unexpected", each)
    if stage.waiting:
        verdict.add("stuck", f"{stage.waiting} batches are not known to be stored in the end")
    verdict.objects = stage.objects
    verdict.counts["lives"] = sum(len(each.spans) for each in stage.nodes)
    lives = verdict.counts["lives"]
    most = OBJECTS + round(OBJECTS_A_DAY * stage.plan.gateway_days) + OBJECTS_A_LIFE * lives
    if stage.objects > most:
        verdict.add("memory", f"{stage.objects} objects when all is at rest, and at most {most} are expected")
    store = SqliteStore.open_to_read(stage.collector.disk.folder / STORE)
    try:
        digest = hashlib.sha256()
        befallen = list(faults)
        for n, node in enumerate(stage.gateways):
            mine = [each for each in befallen if each.who == n and not each.kind.startswith(("collector", "broker"))]
            _Gateway(stage, node, n, mine, store, verdict).judge(digest)
        _cases(store, befallen, stage, verdict)
        for case in store.cases.all():
            digest.update(repr(case).encode())
        kept = len(store.ring.kept())
        if kept > RING:
            verdict.add("ring", f"{kept} refused messages are kept, and at most {RING}")
        _sound(stage, verdict)
    finally:
        store.close()
    for part in stage.nodes:
        for refusal in part.refusals:
            verdict.add("start", f"{part.name} ended by itself: {refusal}")
    verdict.digest = digest.hexdigest()
    return verdict


class _Gateway:
    """The verdict over one gateway."""

    def __init__(
        self, stage: Stage, node: GatewayNode, n: int, faults: list[Fault], store: SqliteStore, verdict: Verdict
    ) -> None:
        self.stage, self.node, self.n, self.faults = stage, node, n, faults
        self.store, self.verdict = store, verdict
        self.shape = node.dwelling.shape
        self.misled = stage.world.counts.get("fault collector-clock", 0) > 0
        self.rot = any(each.kind in ROT for each in faults)
        rolled = stage.rolled_back
        self.back = [(start, end) for who, start, end in rolled if who == n]
        self.told = [each for each in node.dwelling.truth.told if each.kind == "answer"]
        self.answers: dict[tuple[str, bytes], list[Answered]] = {}
        for each in self.told:
            if each.telegram:
                self.answers.setdefault((each.meter, _hash(each.telegram)), []).append(each)
        self.spots: dict[str, list[tuple[Shown, Answered]]] = {}
        for each in self.told:
            if not each.telegram:
                self.spots.setdefault(each.meter, []).append((displayed(each), each))
        self.rows = {(each.meter, each.time): each for each in node.dwelling.truth.told if each.kind == "row"}
        self.slots: set[tuple[str, int]] = set()
        self.places: set[tuple[object, ...]] = set()
        self.found_rows: set[tuple[str, str]] = set()
        self.configured = {each.number: f"heat-{each.address}" for each in node.dwelling.plates}
        self.times: dict[frozenset[str], list[tuple[float, float]]] = {}  # from, to (ms) of the faults of some kinds
        self.hashes: dict[bytes, tuple[str, str]] = {}
        self.evidence = evidence.Gateway()
        self.stored: dict[evidence.Name, list[evidence.Content]] = defaultdict(list)
        self.marked: dict[evidence.Name, set[bool]] = defaultdict(set)  # whether its contents are marked as in conflict
        self.held: dict[tuple[str, bytes], set[bool]] = defaultdict(set)  # by kind and epoch: whether its readings are

    def judge(self, digest: hashlib._Hash) -> None:
        """Everything of this gateway."""
        self._evidence(digest)
        for row in self.store.readings.all(self.node.name):
            digest.update(row.sealed + repr((row.conflict, row.held)).encode())
            self._reading(row)
        self._conflicts()
        self._beside()
        lost = self._lost()
        if not lost:
            missing, refused = list(self._missing()), self._refused()
            excused = sum(self._full(from_ms, to_ms) for from_ms, to_ms, _ in missing)
            for from_ms, to_ms, each in missing:
                if excused > refused or not self._full(from_ms, to_ms):
                    self.verdict.add("missing", each)
            for each in self._missing_rows():
                self.verdict.add("missing", each)
        self._epochs(bool(lost))
        self._buffer()

    def _reading(self, row: ReadingRow) -> None:
        reading = self.evidence.leaves.get(row.sealed) or SealedReading.from_wire(leaf_from_bytes(row.sealed))
        self.verdict.counts["readings stored"] += 1
        self.verdict.counts["values stored"] += len(reading.values)
        name = evidence.named(reading)
        self.stored[name].append(evidence.content(reading))
        for kind in HOLDING:
            self.held[kind, row.place.epoch].add(kind in row.held)
        self.marked[name].add(row.conflict)
        if row.place.batch in self.stage.attacker.twins:
            return
        if row.conflict and not self._excused_twice():
            self.verdict.add("twice", f"{self.node.name} {reading.device} slot {reading.slot_ms}: two contents")
        if reading.how is How.PROFILE:
            self._row(reading)
        elif reading.meter.protocol is Protocol.MBUS:
            self._answer(row.place.batch, reading)
        else:
            self._spot(reading)
        when = (reading.how.name, reading.slot_ms, str(reading.meter_time or ""), reading.part)
        place = (reading.device, reading.meter.id or reading.meter.fabrication, *when)  # a slot may be two meters'
        if place in self.places and not row.conflict:
            self.verdict.add("twice", f"{self.node.name} {place}: stored as two readings")
        self.places.add(place)
        if reading.slot_ms is not None:
            self.slots.add((reading.device, reading.slot_ms))

    def _answer(self, batch: bytes, reading: SealedReading) -> None:
        meter = reading.meter.id or ""
        where = f"{self.node.name} {reading.device} slot {reading.slot_ms}"
        answers = self.answers.get((meter, reading.raw_hash), [])
        if not answers:
            self.verdict.add("altered", f"{where}: no meter answered this")
            return
        # A telegram that was late or damaged on its way may have come again: it is the same bytes that count.
        answer = self._meant(answers, reading.at_ms)
        if _shown(reading.values) != displayed(answer):
            self.verdict.add("altered", f"{where}: other values than the meter showed")
        if not all(_has_its_time(each, displayed(answer)) for each in reading.values):
            self.verdict.add("altered", f"{where}: a stored value has another time than the meter showed")
        if reading.device != self.configured.get(meter) and not self._is_told(reading, meter):
            self.verdict.add("altered", f"{where}: of meter {meter}, which is not the configured one")
        if reading.device != f"heat-{answer.address}":
            self.verdict.add("altered", f"{where}: the answer of address {answer.address}")
        met = self.hashes.setdefault(reading.raw_hash, (reading.device, f"{reading.slot_ms}"))
        if met != (reading.device, f"{reading.slot_ms}"):
            self.verdict.add("twice", f"{where}: the telegram of slot {met[1]}")
        self._says(reading, answer, where)
        self._times(reading, answer, where, self.shape.mbus_cadence_s, CLOCK_MS)
        self._corrected(batch, reading, answer, where)

    def _meant(self, answers: Sequence[Answered], at_ms: int) -> Answered:
        """Which of the answers with one telegram: the nearest, or where none is near one that a wrong clock stamped."""
        nearest = min(answers, key=lambda each: abs(each.at_ms - at_ms))
        if abs(nearest.at_ms - at_ms) <= LASTING_MS:
            return nearest
        return next((each for each in answers if self._befallen(SET_WRONG, each.at_ms, each.at_ms)), nearest)

    def _says(self, reading: SealedReading, answer: Answered, where: str) -> None:
        """Status and own time are the meter's."""
        status = bytes.fromhex(answer.telegram)[STATUS_AT]
        meant = MEANT[status & 3] | (status & 4) * 2 | (status & 8) * 2 | (status & 16) * 2
        meant |= Status.MANUFACTURER if status >> 5 else 0
        shown = reading.status & ~Status.PARTIAL  # what nothing confirmed is marked
        self.verdict.counts["readings marked partial"] += shown != reading.status
        if (reading.status_raw, int(shown)) != (status, int(meant)):
            self.verdict.add("altered", f"{where}: status {reading.status_raw}, {reading.status!r} instead of {status}")
        time = displayed(answer).get(OWN_TIME, {}).get("time")
        if str(reading.meter_time) != str(time):
            self.verdict.add("altered", f"{where}: its own time {reading.meter_time} instead of {time}")

    def _corrected(self, batch: bytes, reading: SealedReading, answer: Answered, where: str) -> None:
        """With what corrects it, a time that was stamped by a clock that knew none is right."""
        found = self.evidence.correction(batch, reading.mono_ms)
        if found is None or self.misled or self._befallen(SET_WRONG, answer.at_ms, self.stage.frozen_ms):
            return
        self.verdict.counts["times corrected"] += 1
        within_ms = CLOCK_MS + reading.round_trip_ms // 2 + (found.when.quality.uncertainty_ms or 0)
        wrong_ms = reading.at_ms + found.offset_ms - answer.at_ms
        if abs(wrong_ms) > within_ms:
            self.verdict.add("altered", f"{where}: {wrong_ms} ms from the truth where it is corrected")

    def _times(self, reading: SealedReading, answer: Answered, where: str, cadence_s: int, within_ms: int) -> None:
        """Its time is right wherever the clock that stamped it said so, and nobody set that clock wrong."""
        if not reading.quality.synchronised or self._befallen(SET_WRONG, answer.at_ms, answer.at_ms):
            return
        unset = self._befallen(DEAD_CLOCK, answer.at_ms, answer.at_ms)
        if unset and self.misled:
            return  # a clock that was unset took the time of a collector whose own was wrong
        half_ms = reading.round_trip_ms // 2
        if abs(reading.at_ms - answer.at_ms) > within_ms + half_ms:
            self.verdict.add(
                "altered", f"{where}: {reading.at_ms - answer.at_ms} ms from the truth, called synchronised"
            )
        if unset:
            return
        cadence_ms = cadence_s * 1000
        ends = (
            answer.at_ms - half_ms - CLOCK_MS,
            answer.at_ms + half_ms + CLOCK_MS,
        )  # on the border either slot is right
        if reading.slot_ms not in {each // cadence_ms * cadence_ms for each in ends}:
            self.verdict.add("altered", f"{where}: of another slot than {answer.at_ms}")

    def _spot(self, reading: SealedReading) -> None:
        meter = reading.meter.fabrication or ""
        where, mine = f"{self.node.name} {reading.device} slot {reading.slot_ms}", _shown(reading.values)
        answers = [answer for shown, answer in self.spots.get(meter, []) if shown == mine]
        if not answers:
            self.verdict.add("altered", f"{where}: never shown")
            return
        answer = min(answers, key=lambda each: abs(each.at_ms - reading.at_ms))
        self._times(reading, answer, where, self.shape.dlms_cadence_s, LATCHED_MS)
        self._owner(reading, where)

    def _is_told(self, reading: SealedReading, number: str) -> bool:
        """Whether an event says that another meter is in its place, not later than it was read so."""
        since_ms = self.evidence.strangers.get((reading.device, number))
        if since_ms is None:
            return self.rot  # the batch with the event may have been lost
        self.verdict.counts["readings of meters in another's place"] += 1
        stepped = any(each.kind in SET_WRONG | DEAD_CLOCK for each in self.faults)
        return stepped or since_ms - reading.round_trip_ms - CLOCK_MS <= reading.at_ms

    def _owner(self, reading: SealedReading, where: str) -> None:
        outlet = self.node.dwelling.outlets.get(reading.device)
        serial, number = "" if outlet is None else outlet.meter.plate.serial, reading.meter.fabrication or ""
        swapped = number == f"9{serial[1:]}" and reading.how is not How.PROFILE and self._is_told(reading, number)
        if outlet is None or (serial != number and not swapped):
            self.verdict.add("altered", f"{where}: under the name of another device")

    def _row(self, reading: SealedReading) -> None:
        pair = (reading.meter.fabrication or "", str(reading.meter_time))
        row = self.rows.get(pair)
        where = f"{self.node.name} {reading.device} row {pair[1]}"
        self._owner(reading, where)
        if row is None or _shown(reading.values) != displayed(row):
            self.verdict.add("altered", f"{where}: not what the meter wrote")
        self.found_rows.add(pair)

    def _evidence(self, digest: hashlib._Hash) -> None:
        for each in self.store.evidence.of(self.node.name):
            self.verdict.counts["batches stored"] += 1
            digest.update(each.id)
            if each.id in self.stage.attacker.forged:
                self.verdict.add("forged", f"{self.node.name} {each.id.hex()[:16]} is stored")
            self.evidence.add(each, self.node.edge.sealing.public)
            if each.state == UNDECODED:
                self.verdict.add("undecoded", f"{self.node.name} seq {each.seq}: {each.fault}")
        for fault in self.evidence.faults:
            self.verdict.add("forged", f"{self.node.name} {fault}")

    def _conflicts(self) -> None:
        """Every reading of the batches is stored, every content of it, and marked where there are several."""
        for each in evidence.differences(self.evidence.contents, self.stored):
            self.verdict.add("conflict", f"{self.node.name} {each}")
        several = {name for name, contents in self.evidence.contents.items() if len(contents) > 1}
        self.verdict.counts["readings with several contents"] += len(several)
        wrong = [name for name, marks in self.marked.items() if marks != {name in several}]
        if wrong:
            what = f"{len(several)} readings have several contents; {len(wrong)} are not marked as they should be"
            self.verdict.add("conflict", f"{self.node.name}: {what}")

    def _beside(self) -> None:
        """Every record of the batches is stored, and none else; a clock that was set says by how much."""
        stored = {
            (each.place.batch, each.place.leaf): each.sealed for each in self.store.readings.records(self.node.name)
        }
        self.verdict.counts["records stored"] += len(stored)
        if stored != self.evidence.records:
            what = f"{len(self.evidence.records)} records in batches, {len(stored)} stored"
            self.verdict.add("record", f"{self.node.name}: {what}, or others")
        for each in self.evidence.uncorrected(self.stage.attacker.twins):
            self.verdict.add("record", f"{self.node.name} {each}")

    def _lost(self) -> int:
        """How many batches are declared lost; only a disk that rotted excuses one."""
        lost = sum(last - first + 1 for each in self.store.evidence.facts(self.node.name) for first, last in each.lost)
        self.verdict.counts["batches declared lost"] += lost
        if lost and not self.rot:
            self.verdict.add("lost", f"{self.node.name} declared {lost} batches lost, and its disk was well")
        return lost

    def _refused(self) -> int:
        """How many readings the gateway says that it refused for want of room."""
        with closing(sqlite3.connect(self.node.disk.folder / BUFFER_FILE)) as database:
            query = "SELECT coalesce(sum(count), 0) FROM counter WHERE name = ?"
            refused: int = database.execute(query, (READINGS_REFUSED,)).fetchone()[0]
        self.verdict.counts["readings refused"] += refused
        return refused

    def _missing(self) -> Iterator[tuple[int, int, str]]:
        """What is missing: from and to (ms) when it came, or would have, and its name."""
        cadence_ms = self.shape.mbus_cadence_s * 1000
        told: set[tuple[str, int]] = set()
        for answer in self.told:
            device = self.configured.get(answer.meter)
            if device is None or answer.damaged is not None or not answer.telegram:
                continue
            self.verdict.counts["answers"] += 1
            pair = (device, answer.at_ms // cadence_ms * cadence_ms)
            until = min(answer.at_ms + SEALED_MS, self.stage.frozen_ms)
            if pair not in self.slots and pair not in told and self._undisturbed(answer.at_ms, until):
                told.add(pair)
                yield answer.at_ms, until, f"{self.node.name} {device} slot {pair[1]}: answered at {answer.at_ms}"
        for device, cadence_s in self._devices():
            for slot_ms in self._quiet_slots(cadence_s * 1000):
                self.verdict.counts["quiet slots"] += 1
                if (device, slot_ms) not in self.slots and (device, slot_ms) not in told:
                    what = f"{self.node.name} {device} slot {slot_ms}: nothing disturbed it"
                    yield slot_ms, slot_ms + cadence_s * 1000, what

    def _missing_rows(self) -> Iterator[str]:
        until = self.stage.frozen_ms - self.shape.dlms_cadence_s * 1000 - 5 * QUIET_MS
        mine = {each.meter.plate.serial for each in self.node.dwelling.outlets.values()}
        due = {pair for pair, row in self.rows.items() if row.at_ms <= until and pair[0] in mine}
        self.verdict.counts["rows"] += len(due)
        for meter, time in sorted((pair[0], pair[1] or "") for pair in due - self.found_rows):
            yield f"{self.node.name} meter {meter} row {time}"

    def _devices(self) -> Iterator[tuple[str, int]]:
        for each in self.node.dwelling.plates:
            yield f"heat-{each.address}", self.shape.mbus_cadence_s
        for host in self.node.dwelling.outlets:
            yield host, self.shape.dlms_cadence_s

    def _quiet_slots(self, cadence_ms: int) -> Iterator[int]:
        for slot_ms in range(-(-START_MS // cadence_ms) * cadence_ms, self.stage.frozen_ms - cadence_ms, cadence_ms):
            if self._undisturbed(slot_ms - QUIET_MS, slot_ms + cadence_ms + SEALED_MS):
                yield slot_ms

    def _undisturbed(self, from_ms: int, to_ms: int) -> bool:
        """Whether one process ran all the time, on a good disk, with a good clock and good lines."""
        until_ms = self._until(from_ms, to_ms)
        alive = any(
            each.from_ms <= from_ms and (each.to_ms is None or each.to_ms >= until_ms) for each in self.node.spans
        )
        gone = any(start <= to_ms and from_ms <= end for start, end in self.back)
        return alive and not gone and not self._befallen(DISTURB, from_ms, to_ms)

    def _until(self, from_ms: int, to_ms: int) -> int:
        """How long a process must live that has something in hand: a disk that takes nothing is waited for.

        One that takes nothing again before what waits is written is waited for, too.
        """
        for each in sorted((each for each in self.faults if each.kind in DISK), key=lambda each: each.at_s):
            end_ms = START_MS + round(each.end_s * 1000)
            if from_ms <= end_ms + LASTING_MS and START_MS + each.at_s * 1000 <= to_ms:
                to_ms = max(to_ms, end_ms + 2 * LASTING_MS)
        return to_ms

    def _befallen(self, kinds: frozenset[str], from_ms: int, to_ms: int) -> bool:
        if kinds not in self.times:
            self.times[kinds] = [
                (START_MS + each.at_s * 1000, START_MS + each.end_s * 1000 + LASTING_MS)
                for each in self.faults
                if each.kind in kinds
            ]
        return any(began <= to_ms and from_ms <= ended for began, ended in self.times[kinds])

    def _excused_twice(self) -> bool:
        """An image that was put back has forgotten which slots it read."""
        return bool(self.back) or self.rot

    def _full(self, from_ms: int, to_ms: int) -> bool:
        """Whether the buffer said that it was full."""
        return any(began - FULL_MS <= to_ms and from_ms <= ended for began, ended in self.stage.ear.full(self.node))

    def _epochs(self, lost: bool) -> None:
        judged = judge(self.store.evidence.facts(self.node.name)).epochs
        self.verdict.counts["epochs"] += len(judged)
        self._broken()
        for each in judged.values():
            gaps, where = self.evidence.gaps(each.epoch), f"{self.node.name} epoch {each.epoch.hex()[:8]}"
            seen = {number for first, last in each.gaps for number in range(first, last + 1)}
            if seen != gaps:
                self.verdict.add("gap", f"{where}: {sorted(gaps)[:SHOWN]} are missing, told are {each.gaps}")
            self.verdict.counts["numbers missing"] += len(gaps)
            if lost or self.back:
                continue
            twin = each.epoch in self.stage.attacker.twin_epochs
            if (gaps and not twin) or each.state is State.PENDING:
                self.verdict.add("gap", f"{where} {each.state}: {each.gaps}")
        self._would_tell()
        self._moved_on()

    def _would_tell(self) -> None:
        """Of the longest epoch: if a batch in its midst were missing, that would be told."""
        known = {each.epoch: each for each in self.store.evidence.facts(self.node.name)}
        epoch = max(known, key=lambda each: len(self.evidence.stored[each]), default=b"")
        numbers = sorted(self.evidence.stored[epoch])
        if len(numbers) > 2:
            gone = numbers[len(numbers) // 2]
            known[epoch] = replace(known[epoch], stored=runs.minus(known[epoch].stored, ((gone, gone),)))
            told = judge(list(known.values())).epochs[epoch].gaps
            if not any(first <= gone <= last for first, last in told):
                self.verdict.add("gap", f"{self.node.name} seq {gone}: if it were missing, only {told} would be told")

    def _moved_on(self) -> None:
        """A gateway that was shown another's batch under a number of its own began a new epoch."""
        with closing(sqlite3.connect(self.node.disk.folder / BUFFER_FILE)) as database:
            newest = database.execute("SELECT epoch, seq FROM batch ORDER BY n DESC LIMIT 1").fetchone()
        if newest and newest[0] in self.evidence.contradictions:
            self.verdict.add("number", f"{self.node.name} goes on in epoch {newest[0].hex()[:8]} beside another")

    def _broken(self) -> None:
        """Epochs that forked, or have two batches of one number, have their case and are held; no other has."""
        name, found = self.node.name, self.evidence
        for kind, wanted in (("broken", set(found.broken)), ("orphan", found.orphans)):
            cases = {each.subject for each in self.store.cases.all() if each.gateway == name and each.kind == kind}
            self.verdict.counts[f"epochs {kind}"] += len(wanted)
            for epoch in wanted ^ cases:
                what = f"is {kind} and has no case" if epoch in wanted else f"has a case and is not {kind}"
                self.verdict.add("case", f"{name} epoch {epoch.hex()[:8]} {what}")
        facts = self.store.evidence.facts(name)
        known = {each.epoch: set(each.contradictions) for each in facts if each.contradictions}
        self.verdict.counts["numbers with two ids"] += sum(map(len, found.contradictions.values()))
        if known != found.contradictions:
            self.verdict.add("number", f"{name}: two ids at {found.contradictions}, the facts say {known}")
        affected = {epoch for epochs in found.broken.values() for epoch in epochs}
        holding = {"broken": affected, "orphan": found.orphans}
        for (kind, epoch), held in self.held.items():
            if held != {epoch in holding[kind]}:
                what = f"is {kind} and not held" if epoch in holding[kind] else f"is held and not {kind}"
                self.verdict.add("case", f"{name} epoch {epoch.hex()[:8]} {what}")

    def _buffer(self) -> None:
        with closing(sqlite3.connect(self.node.disk.folder / BUFFER_FILE)) as database:
            verdict = _integrity(database)
            refused = database.execute("SELECT count(*) FROM batch WHERE refused IS NOT NULL").fetchone()[0]
        if verdict != "ok":
            self.verdict.add("corrupt", f"{self.node.name}: {verdict}")
        if refused:
            self.verdict.add("stuck", f"{self.node.name} holds {refused} batches that are refused")


def _cases(store: SqliteStore, befallen: Collection[Fault], stage: Stage, verdict: Verdict) -> None:
    """Every case has a cause that befell this gateway, and a restored collector knows that it is one."""
    names = [each.name for each in stage.gateways]
    for case in store.cases.all():
        verdict.counts[f"cases {case.kind}"] += 1
        kinds = {each.kind for each in befallen if not case.gateway or names[each.who] == case.gateway}
        if not kinds & CAUSES.get(case.kind, frozenset()):
            verdict.add("case", f"{case.kind} of {case.gateway or 'the collector'}: {case.facts}, without a cause")
    if stage.forgotten and not verdict.counts["cases restored"]:
        verdict.add("case", "the collector was restored from a copy that lacks what it had said, and nobody noticed")
    if store.cases.first_bad_line() is not None:
        verdict.add("corrupt", "the journal does not continue")


def _sound(stage: Stage, verdict: Verdict) -> None:
    with closing(sqlite3.connect(stage.collector.disk.folder / STORE)) as database:
        found = _integrity(database)
    if found not in ("ok", FALSE_ALARM):
        verdict.add("corrupt", f"the collector's store: {found}")


def _integrity(database: sqlite3.Connection) -> str:
    try:
        found: str = database.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return f"{error}"
    return found


def _shown(values: Iterable[Value]) -> Shown:
    return {_named(each.key): _value(each) for each in values}


@functools.cache
def _named(native: NativeKey) -> str:
    protocol, _, key = str(native).partition(":")
    return key.removesuffix("/0") if protocol == "mbus" else key


def _has_its_time(value: Value, told: Shown) -> bool:
    """Whether a value of a heat meter has the date that its storage shows; a maximum one that the telegram shows."""
    vib, storage, tariff, subunit, function = _named(value.key).split("/")[:5]
    if vib.startswith(DATES):
        return value.time is None
    shown = None if value.time is None else str(value.time)
    if function != "0":
        return shown is None or shown in {each.get("time") for each in told.values()}
    places = (f"{date}/{storage}/{each}/{subunit}/0" for each in (tariff, "0") for date in DATES)
    dates = [told[each].get("time") for each in places if each in told]
    return shown == (dates[0] if dates and storage != "0" else None)


def _value(value: Value) -> dict[str, str]:
    kind, state, text = kind_of(value.number), state_name(value.state), shown(value.number)
    if state != "ok":
        return {"state": state, "raw": str(text)}
    if kind in ("text", "time"):
        return {kind: str(text)}
    return {"kind": kind, "value": str(text), "unit": value.unit}


def _hash(telegram: str) -> bytes:
    return hashlib.sha256(bytes.fromhex(telegram)).digest()
