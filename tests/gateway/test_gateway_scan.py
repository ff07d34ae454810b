"""The command that finds the meters of a line: progress, the block to configure, left and gone on with."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import click
import pytest

from gateway.config import MbusDevice
from gateway.lines import MACHINE, Lines, Place
from gateway.scan import FAILED, OK, PARTIAL, Scan, scan, shown
from protocols.mbus.search import Progress
from protocols.transports.exchange import ClosableLine
from protocols.transports.serial import PortMissing
from simulators.mbus.bus import Bus
from simulators.mbus.meters import cellar
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


def lines(folder: Path, questions: int = 10**6) -> Lines:
    """Every port leads to the cellar."""
    bus = Bus(cellar(), Record(folder / "record.jsonl"), lambda: NOW_MS)

    def opened(port: str, baud: int, mode: str) -> ClosableLine:
        if port == "absent":
            raise PortMissing("a port", "none", port)
        return Memory(bus, questions)

    return replace(MACHINE, serial=opened)


def devices(printed: str) -> list[MbusDevice]:
    return [MbusDevice.model_validate(each) for each in tomllib.loads(printed)["bus"][0]["device"]]


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


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"primary": true}', '{"primary": false, "levels": 1}'])
def test_a_state_that_is_none_is_a_usage_error(tmp_path: Path, content: str) -> None:
    state = tmp_path / "scan.json"
    state.write_text(content)
    with pytest.raises(click.UsageError, match="is no state to go on from"):
        scan(Scan(Place("port"), state=state), lines(tmp_path))


def test_progress_says_what_is_left() -> None:
    assert shown(Progress("1FFFFFFFFFFFFFFF", 2, 30, 200, 75)) == (
        "1FFFFFFFFFFFFFFF: 2 found, 30 asked, about 200 left, 1 min 15 s"
    )
    assert shown(Progress("address 250", 0, 500, 0, 0)).endswith("nothing left")
    assert "begun" in shown(Progress("FFFFFFFFFFFFFFFF", 0, 0, 0, 0))
