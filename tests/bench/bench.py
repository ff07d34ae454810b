"""The proof bench: both daemons in one process, in virtual time, with every fault of the catalogue, by seed.

    python tests/bench/bench.py run --seed 7              one seed, in full
    python tests/bench/bench.py run --seed 7 --only 3,17  ... with only these of its faults: what `shrink` prints
    python tests/bench/bench.py shrink --seed 7           the fewest faults that still fail
    python tests/bench/bench.py many --seeds 1-40         several seeds, two processes

The same seed gives the same digest over everything that is stored, in any process with the same PYTHONHASHSEED (the
command sets it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT, ROOT / "tests" / "support", ROOT / "tests" / "bench")
for each in FOLDERS:
    if str(each) not in sys.path:
        sys.path.insert(0, str(each))

import collector.daemon  # noqa: E402
import crashdisk  # noqa: E402
import gateway.daemon  # noqa: E402
import gateway.link  # noqa: E402
import gateway.poll  # noqa: E402
import gateway.seal  # noqa: E402
import structlog  # noqa: E402
import verdict as verdicts  # noqa: E402
from dwelling import Shape  # noqa: E402
from schedule import KINDS, Fault, draw  # noqa: E402
from stage import READY_S, Plan, Stage  # noqa: E402
from verdict import Verdict  # noqa: E402
from world import DAY_S, BenchLoop  # noqa: E402

from gateway.schema import BUFFER_FILE  # noqa: E402

DRAIN_S = 8 * 3_600.0  # virtual, at most, until everything sealed is stored: several of the longest pauses
LOOK_S = 60.0
STOP_S = 60.0
PACE = (
    (gateway.poll, "LONGEST_SLEEP_S", 120.0),
    (gateway.link, "TICK_S", 60.0),
    (gateway.daemon, "WATCH_S", 60.0),
    (gateway.seal, "RETRY_S", 30.0),
    (collector.daemon, "LOOK_S", 20.0),
)
BUGS = ("part-failed", "parts-left")  # what a daemon logs of a fault of its own
MEMORY = Path("/dev/shm")  # noqa: S108 - the simulated disks lie in memory; what is durable is decided by us


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the runs of a bench are."""

    days: float = 2.0
    gateways: int = 3


def plan(seed: int, sizes: Sizes = Sizes()) -> Plan:
    """The plan of a seed: houses of different shapes."""
    dice = random.Random(f"{seed}/plan")
    shapes = tuple(
        Shape(dice.randint(3, 6), dice.randint(1, 3), dice.choice((1800, 3600, 3600)), dice.choice((10_800, 14_400)))
        for _ in range(sizes.gateways)
    )
    return Plan(seed, sizes.days, shapes)


def faults_of(plan: Plan, only: Iterable[int] | None = None) -> list[Fault]:
    """The faults of a plan, or those with these numbers."""
    drawn = draw(plan.seed, plan.days, len(plan.shapes), KINDS)
    return drawn if only is None else [drawn[n] for n in sorted(set(only)) if n < len(drawn)]


@contextmanager
def _unhurried() -> Iterator[None]:
    """The daemons look up once a second to see whether a clock was set, a disk has room or an end is asked: here less often."""
    with ExitStack() as stack:
        for module, name, seconds in PACE:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, seconds)
        yield


def perform(plan: Plan, faults: Sequence[Fault]) -> Verdict:
    """Run a plan from its first minute to the verdict."""
    unexpected: list[str] = []
    _listen(unexpected)
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="plomba-bench-", dir=where) as folder, crashdisk.installed(), _unhurried():
        loop = BenchLoop(random.Random(f"{plan.seed}/order"))
        asyncio.set_event_loop(loop)
        stage = Stage(loop, plan, Path(folder))
        stage.world.unexpected = unexpected
        loop.set_exception_handler(lambda _, context: unexpected.append(f"callback: {context.get('exception')!r}"))
        try:
            loop.run_until_complete(_script(stage, faults))
            return verdicts.give(stage, faults)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _script(stage: Stage, faults: Sequence[Fault]) -> None:
    stage.begin(list(faults))
    await asyncio.sleep(stage.plan.days * DAY_S)
    stage.all_well()
    await asyncio.sleep(READY_S + stage.plan.settle_s)
    stage.freeze()
    began_s = stage.world.loop.time()
    await asyncio.sleep(LOOK_S)
    while (waiting := _waiting(stage)) and stage.world.loop.time() - began_s < DRAIN_S:
        await asyncio.sleep(LOOK_S)
    stage.waiting = waiting
    stage.world.count("drained after (s)", round(stage.world.loop.time() - began_s))
    for node in reversed(stage.nodes):
        node.stop(0, lambda: None)
        await asyncio.sleep(STOP_S)


def _waiting(stage: Stage) -> int:
    """How many batches the gateways hold that are not marked stored."""
    found = 0
    for node in stage.gateways:
        path = node.disk.folder / BUFFER_FILE
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            found += database.execute("SELECT count(*) FROM batch WHERE mark = 0").fetchone()[0]
    return found


def _listen(unexpected: list[str]) -> None:
    """What the daemons log goes nowhere, but for faults of their own."""

    def hear(_: object, __: str, event: MutableMapping[str, Any]) -> NoReturn:
        if event.get("event") in BUGS:
            unexpected.append(f"{event.get('event')}: {event.get('part')} {event.get('error') or event.get('parts')}")
        raise structlog.DropEvent

    structlog.configure(processors=[hear])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The proof bench.")
    parser.add_argument("what", choices=("run", "shrink", "many"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", default="1-8")
    parser.add_argument("--only", help="numbers of faults, as 3,17")
    parser.add_argument("--days", type=float, default=2.0)
    parser.add_argument("--gateways", type=int, default=3)
    chosen = parser.parse_args(arguments)
    made = plan(chosen.seed, Sizes(chosen.days, chosen.gateways))
    only = [int(n) for n in chosen.only.split(",") if n] if chosen.only is not None else None
    faults = faults_of(made, only)
    began = time.monotonic()
    found = perform(made, faults)
    seconds = round(time.monotonic() - began, 1)
    for n, fault in enumerate(faults):
        print(n if only is None else only[n], fault, file=sys.stderr)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for line in found.violations:
        print(line)
    print(json.dumps({"seed": chosen.seed, "digest": found.digest[:16], "seconds": seconds, "memory_mb": memory_mb, "violations": len(found.violations), **found.counts}))
    return 0 if found.held else 1


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        raise SystemExit(subprocess.run([sys.executable, *sys.argv], env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode)
    raise SystemExit(main())
