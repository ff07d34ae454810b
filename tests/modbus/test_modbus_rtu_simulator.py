"""`plomba-simulator modbus` as its user starts it, and the faults that it takes."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rtu_lines import configured, device, due, reader

from simulators.cli import main
from simulators.modbus.faults import KINDS, RtuFaults
from simulators.modbus.rtu import SPOILT, Unit, units
from simulators.record import read


async def test_the_command_serves_a_line_in_three_ways_at_once(tmp_path: Path) -> None:
    """A terminal, RTU over TCP and RFC 2217; it says where, and what it answered."""
    link, record = tmp_path / "line", tmp_path / "record.jsonl"
    options = ("--link", link, "--port", 0, "--control-port", 0, "--record", record, "--units", 4, "--faults", "echo")
    command = (sys.executable, "-m", "simulators.cli", "modbus", *map(str, options))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    said = ""
    while len(places := re.findall(r"also at (\S+)", said)) < 2:
        line = await process.stderr.readline()
        assert line, said
        said += line.decode()
    for at in (str(link), *places):
        found = reader(configured(at, device(4)))
        assert len(await found.read(due(device(4)))) == 1
        found.let_go()
    process.terminate()
    assert await process.wait() == 0
    assert {each.address for each in read(record)} == {4}
    assert not link.exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--faults", "crc=2", "--port", "0"], "odds from 0 to 1"),
        (["--faults", "wrongness=0.1", "--port", "0"], "wrong_unit"),
        (["--units", "248", "--port", "0"], "1<=x<=247"),
        ([], "--link, --port or --control-port"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, options: list[str], named: str) -> None:
    done = CliRunner().invoke(main, ["modbus", "--record", str(tmp_path / "r"), *options])
    assert done.exit_code == 2
    assert named in done.output


def test_the_same_seed_gives_the_same_dead_meters() -> None:
    """A share of them, and each kind of fault has what it does to an answer."""
    faults = RtuFaults.parse("dead=0.1")

    def dead(seed: int) -> list[int]:
        found: dict[int, Unit] = units(50, seed, 0, faults)
        return [unit for unit, each in found.items() if each.dead]

    assert dead(3) == dead(3)
    assert len(dead(3)) == 5
    assert dead(3) != dead(4)
    assert set(SPOILT) == set(KINDS)
