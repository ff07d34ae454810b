"""Time leaps, and the order is drawn."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from virtual import LIFE, Deadlock, Life, Livelock, VirtualLoop, run

DAY_S = 86_400
HERE = Path(__file__).parent


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop, closed in the end."""
    made = VirtualLoop(random.Random(1))
    yield made
    made.close()


def now_s() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


async def told(log: list[str], name: str, steps: int, wait_s: float = 0) -> None:
    """Notes each of its steps."""
    for step in range(steps):
        await asyncio.sleep(wait_s)
        log.append(f"{name}{step}")


async def crowd(count: int = 5, wait_s: float = 0) -> list[str]:
    """What several tasks did, in the order in which they did it."""
    log: list[str] = []
    async with asyncio.TaskGroup() as group:
        for name in "abcdefgh"[:count]:
            group.create_task(told(log, name, 4, wait_s))
    return log


def test_thirty_days_pass_with_every_timer_at_its_instant() -> None:
    """Three periodic tasks; nobody waits on the wall."""

    async def ticker(period_s: float, times: list[float]) -> None:
        for _ in range(int(30 * DAY_S / period_s)):
            await asyncio.sleep(period_s)
            times.append(now_s())

    async def main() -> list[list[float]]:
        found: list[list[float]] = [[], [], []]
        async with asyncio.TaskGroup() as group:
            for period_s, times in zip((60, 900, 3600), found, strict=True):
                group.create_task(ticker(period_s, times))
        return found

    minutes, quarters, hours = run(main(), 1)
    assert minutes == [60.0 * n for n in range(1, 30 * 1440 + 1)]
    assert quarters == minutes[14::15]
    assert hours == minutes[59::60]


def test_a_timer_sees_the_very_number_that_it_was_set_to(loop: VirtualLoop) -> None:
    """However the numbers are rounded, and over more than a day at a time."""
    dice = random.Random(1)
    due = sorted(dice.random() * 10.0 ** dice.randrange(-3, 8) for _ in range(2_000))
    seen: list[float] = []
    for when in due:
        loop.call_at(when, lambda: seen.append(loop.time()))
    loop.run_until_complete(asyncio.sleep(10.0**8))
    assert seen == due


def test_timers_fire_after_years_too() -> None:
    """The clock's resolution is the next number, not a nanosecond that a large number cannot hold."""

    async def main() -> list[float]:
        await asyncio.sleep(10_000 * DAY_S)
        begin = now_s()
        await asyncio.sleep(0.25)
        return [begin, now_s()]

    assert run(main(), 1) == [10_000 * DAY_S, 10_000 * DAY_S + 0.25]


@pytest.mark.parametrize("wait_s", [0, 7])
def test_the_order_is_that_of_the_seed(wait_s: float) -> None:
    """The same seed gives the same order, others give others; each task's own steps stay in order."""
    assert run(crowd(5, wait_s), 1) == run(crowd(5, wait_s), 1)
    orders = {tuple(run(crowd(5, wait_s), seed)) for seed in range(20)}
    assert len(orders) == 20
    for order in orders:
        assert [each for each in order if each.startswith("c")] == ["c0", "c1", "c2", "c3"]


def test_two_processes_go_the_same_way_whatever_their_hashes() -> None:
    """Sets of tasks, as `wait` returns them and groups keep them, have one order too."""
    seen = {traced("7", hashes) for hashes in ("0", "1", "12345")}
    assert len(seen) == 1
    assert traced("8", "0") not in seen


def traced(seed: str, hashes: str) -> str:
    """What the program below prints in a process of its own, between allocations of any size."""
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(HERE)}
    command = [sys.executable, str(HERE / "test_virtual.py"), seed, hashes]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


async def program() -> list[str]:
    """Waits on sets, cancels by group, passes through a queue."""
    log: list[str] = []
    queue: asyncio.Queue[str] = asyncio.Queue()
    pending = {asyncio.create_task(told([], name, 2, 1), name=name) for name in "abcdefghijkl"}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        log += [each.get_name() for each in done]

    async def server(name: str) -> None:
        try:
            while True:
                log.append(name + await queue.get())
        except asyncio.CancelledError:
            log.append(f"{name} cancelled")
            raise

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for name in "uvwxyz":
                group.create_task(server(name))
            for number in range(20):
                queue.put_nowait(str(number))
                await asyncio.sleep(random.Random(number).choice((0, 1)))
            group.create_task(failing())
    return log


async def failing() -> None:
    """Fails, so that its group is cancelled."""
    raise ValueError("as planned")


def test_timeouts_fire_at_their_instant() -> None:
    """The narrower of two wins, and nothing fires early."""

    async def main() -> list[float]:
        times = []
        for limits in ((5.5, 9.25), (9.25, 5.5)):
            begin = now_s()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(limits[0]), asyncio.timeout(limits[1]):
                    await asyncio.Event().wait()
            times.append(now_s() - begin)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 0.125)
        async with asyncio.timeout(3):
            await asyncio.sleep(2.5)
        return [*times, now_s()]

    assert run(main(), 1) == [5.5, 5.5, 13.625]


def test_the_usual_parts_work() -> None:
    """Queue, event, lock, condition, shield, gather and groups, over many seeds."""

    async def main() -> int:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock, event, total = asyncio.Lock(), asyncio.Event(), 0

        async def take() -> None:
            nonlocal total
            await event.wait()
            for _ in range(10):
                number = await queue.get()
                async with lock:
                    before = total
                    await asyncio.sleep(0)
                    total = before + number

        async def give(first: int) -> None:
            event.set()
            for number in range(first, first + 10):
                await queue.put(number)

        await asyncio.gather(*(take() for _ in range(3)), *(give(first) for first in (0, 10, 20)))
        inner = asyncio.ensure_future(asyncio.sleep(5, "kept"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 1)
        assert await inner == "kept"
        return total

    assert {run(main(), seed) for seed in range(50)} == {sum(range(30))}


@pytest.mark.parametrize("late", [False, True])
def test_work_for_an_executor_is_done_at_once(late: bool) -> None:
    """In this thread, with the caller's context; its result at once or in a later turn, its error to who awaits."""
    loop = VirtualLoop(random.Random(1), late_results=late)

    async def main() -> None:
        future = loop.run_in_executor(None, LIFE.get)
        assert future.done() is not late
        assert await future is life
        assert await asyncio.to_thread(LIFE.get) is life
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    life = Life("a")
    with loop.begin(life):
        task = loop.create_task(main())
    loop.run_until_complete(task)
    loop.close()


def test_a_deadlock_is_named() -> None:
    """Who waits for what never comes is shown, where it waits."""

    async def waits_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.create_task(waits_for_ever(), name="patient")
        await asyncio.sleep(3)
        await task

    with pytest.raises(Deadlock, match=r"after 3\.0 s.*task-\d+ at main:\d+, patient at waits_for_ever:\d+"):
        run(main(), 1)


def test_a_livelock_is_named(loop: VirtualLoop) -> None:
    """Turns without end at one instant, whether by callbacks or by timers that are due at once."""

    async def spins(wait_s: float) -> None:
        await asyncio.sleep(2)
        for _ in itertools.count():
            await asyncio.sleep(wait_s)

    for wait_s in (0, 1e-300):
        with pytest.raises(Livelock, match=r"at [24]\.0 s; tasks: .*spins"):
            loop.run_until_complete(spins(wait_s))


def test_much_to_do_is_no_livelock() -> None:
    """Turns count only while time stands."""

    async def main() -> int:
        for _ in range(300):
            for _ in range(500):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        return 1

    assert run(main(), 1) == 1


if __name__ == "__main__":
    # Moves what comes after it in memory: what is made of objects of these sizes lies elsewhere then.
    padding = [bytes(size) for size in range(1, 500) for _ in range(int(sys.argv[2]) % 997)]
    made = VirtualLoop(random.Random(int(sys.argv[1])))
    sys.stdout.write(f"{made.run_until_complete(program())} {made.trace}\n")
    made.close()
