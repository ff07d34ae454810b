"""The proof bench: both daemons in one process, in virtual time, with every fault of the catalogue, by seed.

    python tests/bench/bench.py run --seed 7              one seed, in full
    python tests/bench/bench.py run --seed 7 --only 3,17  ... with only these of its faults: what `shrink` prints
    python tests/bench/bench.py shrink --seed 7           the fewest faults that still fail
    python tests/bench/bench.py many --seeds 1-40         several seeds, side by side

The same seed gives the same digest over everything that is stored, in any process with the same PYTHONHASHSEED (the
command sets it).
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT, *(ROOT / "tests" / each for each in ("support", "uplink", "bench")))
for each in FOLDERS:
    if str(each) not in sys.path:
        sys.path.insert(0, str(each))

import crashdisk  # noqa: E402
import structlog  # noqa: E402
import verdict as verdicts  # noqa: E402
import witness  # noqa: E402
from dwelling import Shape  # noqa: E402
from planted import BUGS  # noqa: E402
from schedule import KINDS, Fault, draw  # noqa: E402
from stage import READY_S, Plan, Stage  # noqa: E402
from verdict import Verdict  # noqa: E402
from world import DAY_S, BenchLoop, Busy  # noqa: E402

import collector.daemon  # noqa: E402
import gateway.daemon  # noqa: E402
import gateway.link  # noqa: E402
import gateway.poll  # noqa: E402
import gateway.seal  # noqa: E402
from gateway.schema import BUFFER_FILE  # noqa: E402
from protocols.reading import MeterTime  # noqa: E402
from protocols.uplink.keys import PublicKey  # noqa: E402

DRAIN_S = 8 * 3_600.0  # virtual, at most, until everything sealed is stored: several of the longest pauses
LOOK_S = 60.0
TURNS, TURNS_A_DAY = 25_000, 40_000  # of the loop, and for each gateway and day: twice what is usual
STOP_S = 90.0
BUSY_SHARE = 0.06  # of the houses
CRAMPED = 20  # one seed of so many has gateways with hardly any room
CRAMPED_BYTES = 420_000  # beside the work space of 256 KiB room for some 80 batches
PACE = (
    (gateway.poll, "LONGEST_SLEEP_S", 600.0),
    (gateway.link, "TICK_S", 300.0),
    (gateway.daemon, "WATCH_S", 240.0),
    (gateway.seal, "RETRY_S", 30.0),
    (collector.daemon, "LOOK_S", 120.0),
)
MEMORY_MB = 600  # of a whole run: both daemons many times over, and the record of all that was answered
OURS = ("gateway.", "collector.", "protocols.")
RARELY = (50_000, 20, 100)  # the collector of garbage: hardly anything that is kept here is garbage
MEMORY = Path("/dev/shm")  # noqa: S108 - the simulated disks lie in memory; what is durable is decided by us


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the runs of a bench are."""

    days: float = 2.0
    gateways: int = 4
    busy: bool = False
    cramped: bool = False


def plan(seed: int, sizes: Sizes = Sizes()) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"{seed}/plan")
    if sizes.cramped or seed % CRAMPED == CRAMPED - 1:
        shape = Shape(2, 4, 600, 3_600) if sizes.cramped else Shape(2, 2, 900, 10_800)
        shapes = (shape,) * sizes.gateways
        return Plan(seed, sizes.days, shapes, CRAMPED_BYTES)
    return Plan(seed, sizes.days, tuple(_shape(dice, sizes.busy) for _ in range(sizes.gateways)))


def _shape(dice: random.Random, busy: bool) -> Shape:
    """Heat meters that are read often, or electricity meters whose load profiles are fetched a few times a day."""
    if dice.random() < BUSY_SHARE or busy:
        return Shape(dice.randint(3, 6), dice.randint(1, 2), dice.choice((900, 1800)), 10_800)
    return Shape(dice.randint(1, 3), dice.randint(2, 4), 7200, 43_200)


def faults_of(
    plan: Plan, only: Iterable[int] | None = None, season: Collection[str] = (), calm: bool = False
) -> list[Fault]:
    """The faults of a plan, or those with these numbers; where it is `calm`, no others than those of the season."""
    # A cramped buffer gives up what is stored and not safe: what a restored collector then lacks is a named gap.
    kinds = [each for each in KINDS if not (plan.cramped and each.name == "collector-restore")]
    kinds = [each for each in kinds if not calm or each.name in season]
    fills = ("link-long",) if plan.cramped else ()  # else hardly any of the buffers would ever be full
    drawn = draw(plan.seed, plan.days, len(plan.shapes), kinds, (*season, *fills))
    return drawn if only is None else [drawn[n] for n in sorted(set(only)) if n < len(drawn)]


@contextmanager
def _unhurried() -> Iterator[None]:
    """What the daemons look for once a second (a clock was set, a disk has room, an end is asked): here less often."""
    with ExitStack() as stack:
        for module, name, seconds in PACE:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, seconds)
        yield


@contextmanager
def _drawn_boxes(dice: random.Random) -> Iterator[None]:
    """Boxes with drawn ephemeral keys: what the collector keeps of hostile packets must not differ from run to run.

    One for each receiver and purpose: that each box has its own is the library's work and not judged here.
    """

    @functools.cache
    def opening(public: bytes, info: bytes) -> witness.Opening:
        return witness.opening(dice.randbytes(32), public, info)

    def seal(key: PublicKey, plaintext: bytes, info: bytes) -> bytes:
        return witness.seal_box(opening(key.octets, info), plaintext)

    kept = PublicKey.seal
    setattr(PublicKey, "seal", seal)  # noqa: B010 - mypy takes no assignment to a method
    try:
        yield
    finally:
        setattr(PublicKey, "seal", kept)  # noqa: B010


def perform(plan: Plan, faults: Sequence[Fault]) -> Verdict:
    """Run a plan from its first minute to the verdict."""
    gc.set_threshold(*RARELY)
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="plomba-bench-", dir=where) as folder,
        crashdisk.installed(),
        _unhurried(),
        _drawn_boxes(random.Random(f"{plan.seed}/boxes")),
    ):
        turns = TURNS + round(TURNS_A_DAY * plan.gateway_days)
        slow = random.Random(f"{plan.seed}/slow") if plan.seed % 2 else None
        loop = BenchLoop(random.Random(f"{plan.seed}/order"), turns, slow)
        asyncio.set_event_loop(loop)
        stage = Stage(loop, plan, Path(folder))
        structlog.configure(processors=[stage.ear.hear])
        loop.set_exception_handler(
            lambda _, context: stage.world.unexpected.append(f"callback: {context.get('exception')!r}")
        )
        try:
            loop.run_until_complete(_script(stage, faults))
            return verdicts.give(stage, faults)
        except Busy as error:
            return Verdict(plan.seed, [f"busy: {error}"])
        finally:
            structlog.reset_defaults()
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
    stage.waiting, stage.objects = waiting, _objects()
    stage.world.count("drained after (s)", round(stage.world.loop.time() - began_s))
    for node in reversed(stage.nodes):
        node.stop(0, lambda: None)
        await asyncio.sleep(STOP_S)


def _objects() -> int:
    """How many objects of ours are held in memory; times are also kept by the simulators, for their rows."""
    gc.collect()  # it runs rarely here: what nobody holds any more would count as well
    found = (type(each) for each in gc.get_objects())
    return sum(str(each.__module__).startswith(OURS) and each is not MeterTime for each in found)


def _waiting(stage: Stage) -> int:
    """How many batches the gateways hold that are not marked stored."""
    found = 0
    for node in stage.gateways:
        path = node.disk.folder / BUFFER_FILE
        database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        with closing(database), suppress(UnicodeDecodeError):  # a page that rotted, in an error's words: salvaged soon
            found += database.execute("SELECT count(*) FROM batch WHERE mark = 0").fetchone()[0]
    return found


def tried(plan: Plan, faults: Sequence[Fault]) -> Verdict:
    """As `perform`; a fault of the bench itself is a violation, and replayed and shrunk like any other."""
    try:
        found = perform(plan, faults)
    except Exception as error:  # noqa: BLE001 - whatever it is
        traceback.print_exc()
        found = Verdict(plan.seed, [f"bench: {error!r}"])
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if memory_mb > MEMORY_MB:
        found.add("memory", f"{memory_mb} MB, and at most {MEMORY_MB} are expected")
    return found


def shrink(plan: Plan, faults: Sequence[Fault], wanted: str) -> list[int]:
    """The numbers of as few faults as still end in a violation of a kind: without any, without halves, quarters, ..."""
    if wanted in tried(plan, []).kinds:
        return []
    kept, parts = list(range(len(faults))), 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            if wanted in tried(plan, [faults[n] for n in fewer]).kinds:
                kept, parts = fewer, max(2, parts - 1)
                break
        else:
            if size == 1:
                return kept
            parts = min(len(kept), 2 * parts)
    return kept


def result(plan: Plan, found: Verdict, seconds: float) -> dict[str, Any]:
    """A run as one JSON object."""
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    shown: dict[str, Any] = {
        "seed": plan.seed,
        "result": "",
        "digest": found.digest[:32],
    }
    shown["result"] = "held" if found.held else "failed"
    shown |= {"gateway_days": round(plan.gateway_days, 1), "seconds": round(seconds, 1), "memory_mb": memory_mb}
    shown["objects"] = found.objects
    return shown | {"violations": found.violations, "counts": dict(sorted(found.counts.items()))}


def _command(chosen: argparse.Namespace, seed: int, *more: str) -> list[str]:
    """This program for one seed, in a process of its own."""
    sizes = ["--days", str(chosen.days), "--gateways", str(chosen.gateways)]
    sizes += [f"--{name}" for name in ("busy", "cramped", "calm") if getattr(chosen, name)]
    bug = ("--bug", chosen.bug) if chosen.bug else ()
    season = ("--season", chosen.season) if chosen.season else ()
    return [sys.executable, __file__, "run", "--seed", str(seed), *sizes, *bug, *season, *more]


def _run(chosen: argparse.Namespace) -> int:
    made = plan(chosen.seed, _sizes(chosen))
    only = None if chosen.only is None else [int(n) for n in chosen.only.split(",") if n]
    faults = faults_of(made, only, _season(chosen), chosen.calm)
    began = time.monotonic()
    found = tried(made, faults)
    shown = result(made, found, time.monotonic() - began)
    if chosen.list:
        for fault in faults:
            print(fault, file=sys.stderr)
    for line in found.violations:
        print(line, file=sys.stderr)
    if not found.held:
        print("replay:", shlex.join(_replay(chosen, chosen.only)), file=sys.stderr)
    print(json.dumps(shown))
    return 0 if found.held else 1


def _sizes(chosen: argparse.Namespace) -> Sizes:
    return Sizes(chosen.days, chosen.gateways, chosen.busy, chosen.cramped)


def _season(chosen: argparse.Namespace) -> list[str]:
    return [each for each in chosen.season.split(",") if each]


def _shrink(chosen: argparse.Namespace) -> int:
    made = plan(chosen.seed, _sizes(chosen))
    faults = faults_of(made, None, _season(chosen), chosen.calm)
    found = tried(made, faults)
    if found.held:
        print(f"seed {chosen.seed} holds: there is nothing to shrink")
        return 0
    wanted = sorted(found.kinds)[0]
    kept = shrink(made, faults, wanted)
    for n in kept:
        print(f"fault {n}: {faults[n]}")
    print(f"{len(kept)} of {len(faults)} faults still end in {wanted!r}; replay:")
    print(shlex.join(_replay(chosen, ",".join(map(str, kept)))))
    return 1


def _replay(chosen: argparse.Namespace, only: str | None) -> list[str]:
    more = () if only is None else ("--only", only)
    return [".venv/bin/python", "tests/bench/bench.py", *_command(chosen, chosen.seed, *more)[2:]]


def _many(chosen: argparse.Namespace) -> int:
    """Several seeds, each in a process of its own, so many at a time as there are processors."""
    first, _, last = chosen.seeds.partition("-")
    # What takes longest goes first.
    seeds = sorted(range(int(first), int(last or first) + 1), key=lambda seed: not plan(seed, _sizes(chosen)).cramped)
    began = time.monotonic()

    runs = sorted(_side_by_side(chosen, seeds), key=lambda each: each["seed"])
    counts: Counter[str] = Counter()
    for each in runs:
        counts.update(each["counts"])
    failed = [each["seed"] for each in runs if each["result"] != "held"]
    shown = {"result": "failed" if failed else "held", "runs": len(runs), "failed_seeds": failed}
    shown["gateway_days"] = round(sum(each.get("gateway_days", 0) for each in runs))
    shown["memory_mb"] = max(each.get("memory_mb", 0) for each in runs)
    shown["objects"] = max(each.get("objects", 0) for each in runs)
    shown["digest"] = hashlib.sha256("".join(each.get("digest", "") for each in runs).encode()).hexdigest()[:32]
    print(json.dumps({**shown, "seconds": round(time.monotonic() - began), **dict(sorted(counts.items()))}))
    return 1 if failed else 0


def _side_by_side(chosen: argparse.Namespace, waiting: list[int]) -> Iterator[dict[str, Any]]:
    """Each seed in a process forked from this one, so many at a time as there are processors."""
    fork = multiprocessing.get_context("fork")
    running: dict[Connection, tuple[int, ForkProcess]] = {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            hear, say = fork.Pipe(duplex=False)
            process = fork.Process(target=_one, args=(chosen, waiting[0], say))
            process.start()
            say.close()
            running[hear] = (waiting.pop(0), process)
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            seed, process = running.pop(ready)
            try:
                yield ready.recv()
            except EOFError:
                yield {"seed": seed, "result": "died", "counts": {}}
            process.join()


def _one(chosen: argparse.Namespace, seed: int, say: Connection) -> None:
    """A seed, in this process; its result is sent."""
    gc.freeze()
    chosen.seed, chosen.only, chosen.list = seed, None, False
    with redirect_stdout(StringIO()) as said, BUGS[chosen.bug]() if chosen.bug else nullcontext():
        _run(chosen)
    say.send(json.loads(said.getvalue()))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The proof bench: both daemons, every fault, by seed.")
    parser.add_argument("what", choices=("run", "shrink", "many"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", default="1-8", help="for many: from-to")
    parser.add_argument("--days", type=float, default=2.0, help="virtual days of faults")
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--busy", action="store_true", help="only houses whose meters are read often")
    parser.add_argument("--cramped", action="store_true", help="only gateways with hardly any room")
    parser.add_argument("--calm", action="store_true", help="no other faults than those of the season")
    parser.add_argument("--only", help="only the faults with these numbers, as 3,17 (empty: none)")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant a fault of ours, which is to be found")
    parser.add_argument("--season", default="", help="kinds of faults of which there are to be many, as loses,forge")
    parser.add_argument("--list", action="store_true", help="name the faults")
    chosen = parser.parse_args(arguments)
    if chosen.what == "many":
        return _many(chosen)
    with BUGS[chosen.bug]() if chosen.bug else nullcontext():
        return _run(chosen) if chosen.what == "run" else _shrink(chosen)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of texts have another order in every process otherwise
        command = [sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode)
    raise SystemExit(main())
