"""What the daemon occupies with 200 meters on four lines, after every meter was read twice; no line is paced."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from figures import GATEWAY, Figure, resident_mb

from simulators.mbus.bus import Bus
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record, read

BUSES, METERS, CADENCE_S = 4, 50, 5
ROUNDS_READ = 2
MOST_MB = 60
LONGEST_S = 60.0
HEAD = """\
gateway = "bench-gateway"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = 1
"""
BUS = """
[[bus]]
name = "line-{bus}"
protocol = "mbus"
port = "{port}"
baud = 38400
"""
DEVICE = """
[[bus.device]]
name = "flat-{bus}-{address}"
cadence_s = {cadence}
"""
WAYS = {"": 'address = {address}\nid = "{id}"\n', "_selected": 'secondary = "{id}"\n'}  # how a meter is asked


def figures() -> Iterator[Figure]:
    """Resident memory of the daemon as an operator starts it; there is no broker, so everything stays in the buffer."""
    with tempfile.TemporaryDirectory(prefix="plomba-bench-") as name:
        mine = {way: asyncio.run(_resident_mb(_folder(name, way), DEVICE + WAYS[way])) for way in WAYS}
    with subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE) as bare:
        time.sleep(0.5)
        other = resident_mb(bare.pid)
        bare.communicate(b"\n")
    for way, found in mine.items():
        name = f"gateway_rss_mb_200{way}_meters"
        yield Figure(name, found, "MB", "a bare interpreter", found / other, most=MOST_MB)


async def _resident_mb(folder: Path, device: str) -> float:
    config, stop = folder / "gateway.toml", asyncio.Event()
    with ExitStack() as stack:
        records, serving, text = [], [], HEAD
        for bus in range(BUSES):
            record = Record(folder / f"record-{bus}.jsonl")
            line = PtyLine(folder / f"line-{bus}")
            stack.callback(record.close)
            stack.callback(line.close)
            plates = list(_plates(bus))
            text += BUS.format(bus=bus, port=line.link)
            text += "".join(
                device.format(bus=bus, address=each.address, cadence=CADENCE_S, id=each.number) for each in plates
            )
            records.append(record)
            serving.append(asyncio.create_task(serve(Bus(plates, record, _utc_ms), line, stop)))
        config.write_text(text)
        subprocess.run((*GATEWAY, "keys", "--config", config), check=True, capture_output=True)  # noqa: ASYNC221
        with (folder / "gateway.log").open("wb") as log:
            daemon = await asyncio.create_subprocess_exec(*GATEWAY, "run", "--config", config, stderr=log)
        try:
            await _all_read(records, daemon)
            return resident_mb(daemon.pid)
        finally:
            if daemon.returncode is None:
                daemon.terminate()
            await daemon.wait()
            stop.set()
            await asyncio.gather(*serving)


async def _all_read(records: list[Record], daemon: asyncio.subprocess.Process) -> None:
    """Wait until every meter has answered `ROUNDS_READ` times, by the meters' own record."""
    until = time.monotonic() + LONGEST_S
    while True:
        answers = Counter(each.meter for record in records for each in read(record.path))
        if len(answers) == BUSES * METERS and min(answers.values()) >= ROUNDS_READ:
            return
        assert daemon.returncode is None, "the daemon ended"
        assert time.monotonic() < until, f"{len(answers)} meters answered within {LONGEST_S} s"
        await asyncio.sleep(0.5)


def _folder(name: str, way: str) -> Path:
    folder = Path(name) / f"site{way}"
    folder.mkdir()
    return folder


def _plates(bus: int) -> Iterator[Plate]:
    kinds = cellar()
    for address in range(1, METERS + 1):
        kind = kinds[address % len(kinds)]
        yield Plate(kind.model, f"{60_000_000 + bus * 1_000 + address}", address, kind.first)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
