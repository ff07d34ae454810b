"""The whole path over a real pseudo-terminal: serial line, session, simulated bus; and the simulator as a process."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from protocols.errors import MeterError
from protocols.mbus import faults, telegram
from protocols.mbus.session import ReadSession, Send, SlaveState
from protocols.mbus.timing import Timing
from protocols.transports.exchange import Answer, Clock, run
from protocols.transports.serial import LineLost, PortBusy, PortMissing, SerialLine
from simulators.mbus.bus import Bus
from simulators.mbus.faults import Faults
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import cellar
from simulators.record import Record, read

REPOSITORY = Path(__file__).resolve().parents[2]
CLOCK = Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
FAST = Timing(38_400, slack_ms=300)  # a loaded machine may be slow, a pseudo-terminal never is


@asynccontextmanager
async def house(folder: Path, written: str = "", baud: int | None = None, seed: int = 1) -> AsyncIterator[SerialLine]:
    """The three meters behind `bus0` of `folder`, and the reader's end of the line."""
    bus = Bus(cellar(), Record(folder / "record.jsonl"), CLOCK.utc_ms, seed, Faults.parse(written))
    far, stop = PtyLine(folder / "bus0"), asyncio.Event()
    serving = asyncio.create_task(serve(bus, far, stop, baud))
    try:
        with SerialLine.open(str(folder / "bus0")) as line:
            yield line
    finally:
        stop.set()
        await serving
        far.close()


async def once(line: SerialLine, address: int, slave: SlaveState | None = None) -> tuple[Answer, ...]:
    return await run(ReadSession(address, slave or SlaveState(), FAST), line, CLOCK)


@pytest.mark.parametrize("written", ["", "echo", "noise=1", "noise=1,echo"])
async def test_three_meters_are_read_over_a_terminal(tmp_path: Path, written: str) -> None:
    async with house(tmp_path, written) as line:
        found = [(await once(line, address))[0].frame.octets.hex() for address in (1, 2, 3)]
    assert found == [answered.telegram for answered in read(tmp_path / "record.jsonl")]


async def test_answers_that_come_byte_by_byte_are_whole(tmp_path: Path) -> None:
    async with house(tmp_path, baud=38_400) as line:
        (answer,) = await once(line, 3)
    assert telegram.decode(answer.frame).identity.id == "07712233"
    assert answer.round_trip_ms > 0


async def test_the_middle_of_question_and_answer_is_noted(tmp_path: Path) -> None:
    async with house(tmp_path) as line:
        before = CLOCK.mono_ms()
        (answer,) = await once(line, 1)
        after = CLOCK.mono_ms()
    assert before <= answer.mono_ms <= after
    assert 0 <= answer.round_trip_ms <= after - before


async def test_a_silent_meter_costs_its_retries_and_the_next_one_answers(tmp_path: Path) -> None:
    async with house(tmp_path) as line:
        with pytest.raises(faults.NoAnswer):
            await run(ReadSession(7, SlaveState(), FAST, retries=0), line, CLOCK)
        assert len(await once(line, 1)) == 1


@pytest.mark.parametrize(
    ("written", "error"), [("wrong_address=1", faults.WrongAddress), ("silent=1", faults.NoAnswer)]
)
async def test_foreign_and_missing_answers_are_named(tmp_path: Path, written: str, error: type[Exception]) -> None:
    async with house(tmp_path, written) as line:
        with pytest.raises(error):
            await run(ReadSession(1, SlaveState(), FAST, retries=1), line, CLOCK)


async def test_every_read_of_a_bad_line_is_one_of_the_meters_own_telegrams(tmp_path: Path) -> None:
    states = {address: SlaveState() for address in (1, 2, 3)}
    taken: list[str] = []
    async with house(tmp_path, "noise=0.1,partial=0.1,garble=0.1,late=0.1,wrong_address=0.1,echo", seed=11) as line:
        for turn in range(12):
            address = 1 + turn % 3
            try:
                answers = await run(ReadSession(address, states[address], Timing(38_400, 60)), line, CLOCK)
            except MeterError:
                continue
            taken += [answer.frame.octets.hex() for answer in answers]
    assert len(taken) > 6
    assert set(taken) <= {answered.telegram for answered in read(tmp_path / "record.jsonl")}


async def test_a_flooded_line_ends_in_a_named_error(tmp_path: Path) -> None:
    master, other = pty.openpty()
    tty.setraw(other)
    os.set_blocking(master, False)
    loop = asyncio.get_running_loop()
    with SerialLine.open(os.ttyname(other)) as line:
        loop.add_writer(master, lambda: os.write(master, b"\x55" * 100))
        try:
            with pytest.raises(faults.Babble):
                await once(line, 1)
        finally:
            loop.remove_writer(master)
    os.close(master)
    os.close(other)


class Dripping:
    """A line on which a byte comes every 100 ms for ever, in virtual time."""

    def __init__(self) -> None:
        self.now_ms = 0

    def flush_input(self) -> None:
        """Nothing is held."""

    async def write(self, octets: bytes) -> None:
        """Taken at once."""

    async def read_some(self, timeout_s: float) -> bytes:
        """One byte after 100 ms, or nothing where less is waited."""
        self.now_ms += min(100, int(timeout_s * 1000))
        return b"\x55" if timeout_s >= 0.1 else b""


async def test_a_dripping_line_ends_at_the_deadline_of_each_question() -> None:
    line = Dripping()
    clock = Clock(lambda: line.now_ms, lambda: line.now_ms)
    session = ReadSession(1, SlaveState(), timing := Timing(2400))
    deadline = session.next()
    assert isinstance(deadline, Send)
    with pytest.raises(faults.OnlyNoise):
        await run(ReadSession(1, SlaveState(), timing), line, clock)
    assert line.now_ms <= 3 * deadline.deadline_ms


async def test_a_vanished_line_is_a_link_error_and_the_same_path_opens_again(tmp_path: Path) -> None:
    async with house(tmp_path) as line:
        assert len(await once(line, 1)) == 1
    master, other = pty.openpty()
    with SerialLine.open(os.ttyname(other)) as line:
        os.close(other)
        os.close(master)
        with pytest.raises(LineLost):
            await once(line, 1)
    async with house(tmp_path) as line:
        assert len(await once(line, 1)) == 1


async def test_a_line_that_vanishes_while_waiting_is_noticed_at_once() -> None:
    master, other = pty.openpty()
    with SerialLine.open(os.ttyname(other)) as line:
        os.close(other)
        waiting = asyncio.create_task(line.read_some(60))
        await asyncio.sleep(0)
        os.close(master)
        with pytest.raises(LineLost):
            await waiting


async def test_a_missing_port_and_a_file_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(PortMissing, match="check that the converter is plugged in"):
            SerialLine.open(str(path))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/dev/not-there", "no such file or directory"),
        ("/dev/null", "inappropriate ioctl for device"),
        ("/", "is a directory"),
    ],
)
async def test_why_a_port_cannot_be_opened_is_said_once_and_without_a_number(path: str, says: str) -> None:
    with pytest.raises(PortMissing) as caught:
        SerialLine.open(path)
    assert str(caught.value).startswith(f"PLB-L101: expected a serial port, got {says} in {path}; check")


async def test_a_port_that_is_open_already_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path):
        with pytest.raises(PortBusy, match="expected a free port, got one that another program holds in"):
            SerialLine.open(str(tmp_path / "bus0"))


async def test_a_terminal_without_parity_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as line:
        assert not line.parity_set


async def test_a_terminal_opens_again_and_again_with_the_same_settings(tmp_path: Path) -> None:
    """As after a restart of the gateway: the meters' side stayed, and there is nothing left to set."""
    async with house(tmp_path) as line:
        assert len(await once(line, 1)) == 1
        line.close()
        for _ in range(2):
            with SerialLine.open(str(tmp_path / "bus0")) as again:
                assert len(await once(again, 1)) == 1


async def test_input_that_nobody_read_is_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as line:
        await line.write(bytes.fromhex("1040014116"))
        assert await line.read_some(5) == b"\xe5"
        await line.write(bytes.fromhex("1040014116"))
        await asyncio.sleep(0.2)
        line.flush_input()
        assert await line.read_some(0.05) == b""


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Simulator processes that a test started; what still runs afterwards is ended."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def start(started: list[subprocess.Popen[str]], folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "simulators.cli", "meters", "--link", str(folder / "bus0")]
    process = subprocess.Popen(
        [*command, "--record", str(folder / "record.jsonl"), *more], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("faults:"):
            break
    return process


async def test_a_killed_simulator_comes_back_with_what_it_counted(
    tmp_path: Path, simulator: list[subprocess.Popen[str]]
) -> None:
    """Kill -9, stale link, start again: same path, no register goes back, no telegram twice."""
    for _ in range(3):
        process = start(simulator, tmp_path)
        with SerialLine.open(str(tmp_path / "bus0")) as line:
            for address in (1, 2, 3):
                await once(line, address)
        process.kill()
        process.wait()
    rows = list(read(tmp_path / "record.jsonl"))
    assert [row.registers["count"] for row in rows if row.address == 1] == [1, 2, 3]
    assert len({row.telegram for row in rows}) == 9


async def test_a_simulator_freezes_on_sigusr1_and_leaves_no_link_behind(
    tmp_path: Path, simulator: list[subprocess.Popen[str]]
) -> None:
    process = start(simulator, tmp_path)
    with SerialLine.open(str(tmp_path / "bus0")) as line:
        await once(line, 1)
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        assert "frozen" in process.stderr.readline()
        with pytest.raises(faults.NoAnswer):
            await run(ReadSession(1, SlaveState(), FAST, retries=0), line, CLOCK)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not (tmp_path / "bus0").is_symlink()


def test_the_simulator_does_not_replace_a_file_of_somebody(tmp_path: Path) -> None:
    (tmp_path / "bus0").write_text("mine")
    command = [sys.executable, "-m", "simulators.cli", "meters", "--link", str(tmp_path / "bus0"), "--record"]
    ended = subprocess.run([*command, str(tmp_path / "r")], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "expected a free path" in ended.stderr
    assert (tmp_path / "bus0").read_text() == "mine"


def test_unknown_faults_are_a_usage_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.cli", "meters", "--link", str(tmp_path / "b"), "--record"]
    ended = subprocess.run(
        [*command, str(tmp_path / "r"), "--faults", "nois=1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
