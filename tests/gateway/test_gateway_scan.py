"""The command that finds the meters of a line: progress, the block to configure, left and gone on with."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from mbus_bench import plate

from gateway.config import MbusDevice
from gateway.faults import StateOfAnother, StateUnusable
from gateway.lines import MACHINE, Lines, Place
from gateway.scan import FAILED, OK, PARTIAL, Scan, scan, shown
from gateway.scanstate import MAX_SIZE, maybe_read
from protocols.mbus.search import Progress
from protocols.mbus.timing import Timing
from protocols.mbus.walk import Choices
from protocols.settings.model import checked
from protocols.transports.exchange import ClosableLine
from protocols.transports.serial import PortMissing
from simulators.mbus.bus import Bus
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record

NOW_MS = 1_793_000_000_000
ALL = ["heat-60300001", "heat-1A7F2044", "hot-water-07712233"]


class Memory:
    """A line to a bus in memory: what is not answered at once is silence, and no wait takes time."""

    def __init__(self, bus: Bus, questions: int) -> None:
        self._bus, self._left, self._held = bus, questions, b""

    def flush_input(self) -> None:
        """Forget what came."""
        self._held = b""

    async def write(self, octets: bytes) -> None:
        """Ask; after so many questions the technician presses Ctrl-C."""
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        self._held = self._bus.hear(octets)

    async def read_some(self, timeout_s: float) -> bytes:
        """What was answered."""
        octets, self._held = self._held, b""
        return octets

    def close(self) -> None:
        """Nothing to let go."""


def lines(folder: Path, questions: int = 10**6, plates: Iterable[Plate] = ()) -> Lines:
    """Every port leads to the cellar, or to these meters."""
    bus = Bus(tuple(plates) or cellar(), Record(folder / "record.jsonl"), lambda: NOW_MS)

    def opened(port: str, baud: int, mode: str) -> ClosableLine:
        if port == "absent":
            raise PortMissing("a port", "none", port)
        return Memory(bus, questions)

    return replace(MACHINE, serial=opened)


def devices(printed: str) -> list[MbusDevice]:
    return [checked(MbusDevice, each) for each in tomllib.loads(printed)["bus"][0]["device"]]


@pytest.mark.parametrize("primary", [False, True])
def test_a_line_is_searched_and_what_to_configure_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], primary: bool
) -> None:
    assert scan(Scan(Place("port"), primary=primary, expected=3), lines(tmp_path)) == OK
    printed = capsys.readouterr()
    found = devices(printed.out)
    assert sorted(each.name for each in found) == sorted(ALL)
    assert {(each.address, each.id) for each in found} == {(each.address, each.number) for each in cellar()}
    assert "meters found: 3," in printed.err


def test_what_is_missing_is_said_and_makes_it_partial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(Scan(Place("port"), expected=4), lines(tmp_path)) == PARTIAL
    assert "missing: 1 of 4 expected meters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("numbers", "expected", "code", "said"),
    [
        (("1A7F2044", "1A702044", "1A712044"), None, PARTIAL, "unresolved: a meter with an F in its number"),
        (("1A7F2044", "1A702044", "1A712044"), 3, PARTIAL, "missing: 1 of 3"),
        (("1A702044", "1A712044"), 2, OK, "meters found: 2"),
        (("127F2044", "12702044", "12712044"), None, OK, "note: a meter with an F in its number"),
    ],
)
def test_a_meter_that_no_selection_can_show_is_never_left_out_without_a_word(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    numbers: tuple[str, ...],
    expected: int | None,
    code: int,
    said: str,
) -> None:
    """F in a selection is any: two neighbours hide the third; its own primary address shows it."""
    plates = [plate(number, address=n) for n, number in enumerate(numbers, 1)]
    asked = Scan(Place("port"), choices=Choices(letters=True), expected=expected)
    assert scan(asked, lines(tmp_path, plates=plates)) == code
    assert said in capsys.readouterr().err
    assert scan(replace(asked, primary=True), lines(tmp_path, plates=plates)) == OK
    assert {each.id for each in devices(capsys.readouterr().out)} == set(numbers)


@pytest.mark.parametrize("primary", [False, True])
def test_a_search_that_was_left_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], primary: bool
) -> None:
    asked = Scan(Place("port"), primary=primary, expected=3, state=tmp_path / "scan.json")
    assert scan(asked, lines(tmp_path, 20)) == PARTIAL
    assert "goes on with" in capsys.readouterr().err
    for _ in range(10):
        code = scan(asked, lines(tmp_path, 100))
        printed = capsys.readouterr().out
        if code == OK:
            break
    assert code == OK
    assert sorted(each.name for each in devices(printed)) == sorted(ALL)


def test_a_port_that_is_not_there_is_a_failure_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(Scan(Place("absent")), lines(tmp_path)) == FAILED
    assert "PLB-L101" in capsys.readouterr().err


def left(folder: Path, asked: Scan, questions: int = 20) -> Path:
    """The state of a scan that was left after so many questions."""
    assert asked.state is not None
    assert scan(asked, lines(folder, questions)) == PARTIAL
    return asked.state


CHANGES: dict[str, dict[str, object]] = {
    "line 'tcp://192.0.2.30:10001'": {"place": Place("tcp://192.0.2.30:10001")},
    "baud 9600": {"place": Place("/dev/absent", 9600)},
    "mode '8N1'": {"place": Place("/dev/absent", 2400, "8N1")},
    "primary yes": {"primary": True},
    "reads yes": {"reads": True},
    "letters yes": {"choices": Choices(letters=True)},
    "every-manufacturer yes": {"choices": Choices(every_manufacturer=True)},
    "expect 4": {"expected": 4},
    "expect not given": {"expected": None},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_line_or_other_choices_do_not_go_on(tmp_path: Path, change: str) -> None:
    """What differs is said, both ways, and the file stays as it is."""
    begun = Scan(Place("/dev/absent"), expected=3, state=tmp_path / "scan.json")
    before = left(tmp_path, begun).read_bytes()
    with pytest.raises(StateOfAnother) as caught:
        scan(replace(begun, **CHANGES[change]), lines(tmp_path))  # type: ignore[arg-type]
    assert caught.value.got == change
    assert change.split(maxsplit=1)[0] in caught.value.expected
    assert begun.state is not None
    assert begun.state.read_bytes() == before


def test_a_port_that_is_named_in_another_way_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The technician may stand in another folder."""
    asked = Scan(Place(str(tmp_path / "port")), expected=3, state=left_at(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert scan(replace(asked, place=Place("port")), lines(tmp_path)) == OK


def left_at(folder: Path) -> Path:
    """The state of a scan of the port in this folder."""
    return left(folder, Scan(Place(str(folder / "port")), expected=3, state=folder / "scan.json"))


@pytest.mark.parametrize("expected", [3, 4])
def test_a_scan_that_is_done_leaves_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str], expected: int) -> None:
    """Whether meters are missing or not; the same command searches anew and says the same."""
    asked = Scan(Place("port"), expected=expected, state=tmp_path / "scan.json")
    codes, blocks = [], []
    for _ in range(2):
        codes.append(scan(asked, lines(tmp_path)))
        printed = capsys.readouterr()
        blocks.append(printed.out)
        assert f"all is done: {asked.state} is removed" in printed.err
        assert "going on" not in printed.err
        assert not (tmp_path / "scan.json").exists()
    assert codes == [OK if expected == 3 else PARTIAL] * 2
    assert blocks[0] == blocks[1] != ""


def test_a_block_that_could_not_be_printed_is_not_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal went away behind the last question: the state stays, and shows the block at once."""
    asked = Scan(Place("port"), expected=3, state=tmp_path / "scan.json")

    def gone(*_: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.scan.block", gone)
        with pytest.raises(OSError, match="Input/output"):
            scan(asked, lines(tmp_path))
    capsys.readouterr()
    assert scan(asked, lines(tmp_path, 2)) == OK
    assert sorted(each.name for each in devices(capsys.readouterr().out)) == sorted(ALL)


class Signalled(Memory):
    """A line on which a signal comes with the question after so many."""

    def __init__(self, bus: Bus, questions: int, number: signal.Signals) -> None:
        super().__init__(bus, 10**6)
        self._questions, self._number = questions, number

    async def write(self, octets: bytes) -> None:
        """Ask, or be left."""
        self._questions -= 1
        if self._questions < 0:
            os.kill(os.getpid(), self._number)
            await asyncio.sleep(60)
        await super().write(octets)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_scan_like_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """What was found is printed, and the same command goes on."""
    asked = Scan(Place("port"), expected=3, state=tmp_path / "scan.json")
    bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS)
    before = signal.signal(number, _not_handled)
    try:
        assert scan(asked, replace(MACHINE, serial=lambda *_: Signalled(bus, 30, number))) == PARTIAL
    finally:
        signal.signal(number, before)
    printed = capsys.readouterr()
    assert "left before the end; the same command goes on with" in printed.err
    assert devices(printed.out)
    assert scan(asked, lines(tmp_path)) == OK
    printed = capsys.readouterr()
    assert "going on with" in printed.err
    assert sorted(each.name for each in devices(printed.out)) == sorted(ALL)


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS)

        class Hung(Memory):
            async def write(self, octets: bytes) -> None:
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.sleep(0)
                await super().write(octets)

        assert scan(Scan(Place("port")), replace(MACHINE, serial=lambda *_: Hung(bus, 10**6))) == OK
    finally:
        signal.signal(signal.SIGHUP, before)


def _not_handled(number: int, _: object) -> None:
    raise AssertionError(f"signal {number} came through")


def test_the_state_is_written_with_each_line_of_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves is at most one line of progress old."""
    monkeypatch.setattr("gateway.scan.SHOWN_MS", 0)
    asked = Scan(Place("port"), expected=3, state=tmp_path / "scan.json")
    seen: list[int] = []

    class Watched(Memory):
        async def write(self, octets: bytes) -> None:
            search = maybe_read(tmp_path / "scan.json", asked.begun, Timing())
            assert search is not None
            seen.append(search.progress().selections)
            await super().write(octets)

    bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS)
    assert scan(asked, replace(MACHINE, serial=lambda *_: Watched(bus, 10**6))) == OK
    assert seen[0] == 0
    assert max(later - earlier for earlier, later in pairwise(seen)) == 1


def test_a_disk_that_is_full_for_a_while_ends_no_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and the search goes on."""
    monkeypatch.setattr("gateway.scan.SHOWN_MS", 0)
    folder, away = tmp_path / "states", tmp_path / "away"
    folder.mkdir()

    class Moving(Memory):
        async def write(self, octets: bytes) -> None:
            if self._left == 10**6 - 5:
                folder.rename(away)
            if self._left == 10**6 - 10:
                away.rename(folder)
            await super().write(octets)

    bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS)
    asked = Scan(Place("port"), expected=3, state=folder / "scan.json")
    assert scan(asked, replace(MACHINE, serial=lambda *_: Moving(bus, 10**6))) == OK
    printed = capsys.readouterr()
    assert "could not be written, and is as it was before: No such file" in printed.err
    assert len(devices(printed.out)) == 3


def test_a_line_of_noise_leaves_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gone on with, it would end at once again though the line was mended."""

    class Noisy(Memory):
        async def write(self, octets: bytes) -> None:
            self._held = b"\x55\xaa"

    bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS)
    asked = Scan(Place("port"), expected=3, state=tmp_path / "scan.json")
    assert scan(asked, replace(MACHINE, serial=lambda *_: Noisy(bus, 1))) == FAILED
    assert "goes on with" not in capsys.readouterr().err
    assert scan(asked, lines(tmp_path)) == OK


def test_a_state_that_cannot_be_written_is_said_before_the_first_question(tmp_path: Path) -> None:
    """Not after hours."""
    with pytest.raises(FileNotFoundError):
        scan(Scan(Place("port"), state=tmp_path / "absent" / "scan.json"), lines(tmp_path, 0))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"begun": {}}',
        b'{"primary": false, "levels": []}',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"begun": ' * 100_000,
        b" " * (MAX_SIZE + 1),
        b'{"begun": {}, "search": {}, "n": ' + b"9" * 5_000 + b"}",
    ],
    ids=range(10),
)
def test_a_state_that_is_none_is_a_named_error(tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "scan.json"
    state.write_bytes(content)
    with pytest.raises((StateUnusable, StateOfAnother)) as caught:
        scan(Scan(Place("port"), state=state), lines(tmp_path))
    assert "remove" in caught.value.do
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ("found", [{"meter": "603000012D2C3504", "address": 256}]),
        ("found", [{"meter": "603000012D2C3504", "address": True}]),
        ("found", [{"meter": "603000012D2C3504", "address": 1}] * 2_001),
        ("levels", [{"mask": "FFFFFFFF", "at": 10, "choice": 0, "known": 0}]),
        ("levels", [{"mask": "FFFFFFFF", "at": 0, "choice": 0, "known": 0}] * 2),
        ("unresolved", ["\x1b[2J"]),
        ("unresolved", ["x" * 301]),
        ("most", 10**13),
        ("counts", []),
    ],
)
def test_a_value_beyond_its_limits_is_refused(tmp_path: Path, at: str, value: object) -> None:
    asked = Scan(Place("port"), expected=3, state=tmp_path / "scan.json")
    state = left(tmp_path, asked)
    row = json.loads(state.read_text())
    row["search"][at] = value
    state.write_text(json.dumps(row))
    with pytest.raises(StateUnusable):
        scan(asked, lines(tmp_path))


def test_a_state_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StateUnusable, match="no regular file"):
        scan(Scan(Place("port"), state=tmp_path / "pipe"), lines(tmp_path))


def test_progress_says_what_is_left() -> None:
    assert shown(Progress("1FFFFFFFFFFFFFFF", 2, 30, 200, 75)) == (
        "1FFFFFFFFFFFFFFF: 2 found, 30 asked, about 200 left, 1 min 15 s"
    )
    assert shown(Progress("address 250", 0, 500, 0, 0)).endswith("nothing left")
    assert "begun" in shown(Progress("FFFFFFFFFFFFFFFF", 0, 0, 0, 0))
