"""Time leaps, the order is drawn, and what has ended is silent."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from virtual import LIFE, Deadlock, Life, Livelock, VirtualLoop, ended, run

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


class Witness:
    """A process that notes everything that it does, and would note its cleaning up."""

    def __init__(self, loop: VirtualLoop, life: Life) -> None:
        self.log: list[str] = []
        self.loop, self.life = loop, life
        with loop.begin(life):
            self.tasks = [loop.create_task(part()) for part in self.parts()]
            self.held = [loop.call_later(n, self.log.append, "timer") for n in (1.5, 4.5)]

    def parts(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Suspended in a sleep, a generator, a group, a shield, a timeout, a queue."""
        return [self.sleeps, self.iterates, self.groups, self.shields, self.times_out, self.catches, self.is_forgotten]

    async def is_forgotten(self) -> None:
        """Only what it waits for itself knows of it: garbage, were it not in the graveyard."""
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("forgotten")

    async def sleeps(self) -> None:
        """Tick, tick."""
        try:
            while True:
                await asyncio.sleep(1)
                self.log.append("tick")
        finally:
            self.log.append("finally")

    async def generated(self) -> AsyncIterator[int]:
        """One number each second."""
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            self.log.append("generator's finally")

    async def iterates(self) -> None:
        """Over an asynchronous generator."""
        async for _ in self.generated():
            self.log.append("item")

    async def groups(self) -> None:
        """Two children, whose group awaits in its end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sleeps())
            group.create_task(self.sleeps())

    async def shields(self) -> None:
        """A shielded child."""
        try:
            await asyncio.shield(self.sleeps())
        finally:
            await asyncio.sleep(1)
            self.log.append("after the shield")

    async def times_out(self) -> None:
        """Within 2.5 seconds it would."""
        try:
            async with asyncio.timeout(3.5):
                await asyncio.Event().wait()
        except TimeoutError:
            self.log.append("timeout")

    async def catches(self) -> None:
        """Whatever comes."""
        while True:
            try:
                await asyncio.sleep(100)
            except BaseException:
                self.log.append("caught")
                raise


def test_what_has_ended_does_nothing_more(loop: VirtualLoop) -> None:
    """No step, timer, generator, `finally` or `except` of it, neither with time nor by the collector of garbage."""
    witness = Witness(loop, Life("a"))
    other = Witness(loop, Life("b"))
    loop.run_until_complete(asyncio.sleep(3.25))
    log = witness.log
    assert {"tick", "item", "timer"} == set(log)
    before = list(log)
    loop.end_life(witness.life, witness)
    del witness
    gc.collect()
    loop.run_until_complete(asyncio.sleep(50))
    gc.collect()
    assert log == before
    assert "timeout" in other.log
    assert other.log.count("tick") > 4 * 50


def test_what_was_ready_does_not_run_either(loop: VirtualLoop) -> None:
    """A callback, a new task and a woken one, all due in the turn in which the life ends."""
    log: list[str] = []
    life, event = Life("a"), asyncio.Event()

    async def wakes() -> None:
        await event.wait()
        log.append("woken")

    async def main() -> None:
        with loop.begin(life):
            tasks = [loop.create_task(wakes())]
        await asyncio.sleep(1)
        event.set()
        with loop.begin(life):
            tasks.append(loop.create_task(told(log, "new", 1)))
            loop.call_soon(log.append, "soon")
        loop.end_life(life)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert log == []


def test_the_garbage_collector_ends_nobody(loop: VirtualLoop) -> None:
    """A dead task that nobody but itself knows of is not finished by being thrown away."""
    log: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("finally")

    life = Life("a")
    with loop.begin(life):
        task = loop.create_task(forgotten())
    loop.run_until_complete(asyncio.sleep(1))
    loop.end_life(life)
    del task
    gc.collect()
    assert log == []
    loop.bury()
    assert log == ["finally"]


def test_a_generator_that_nobody_holds_any_more_just_goes(loop: VirtualLoop) -> None:
    """That of a living one is closed, as ever; that of a dead one is not."""
    log: list[str] = []

    async def generated(name: str) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            log.append(name)

    async def first(name: str, held: list[object]) -> None:
        generator = generated(name)
        await anext(generator)
        held.append(generator)

    lives = {name: Life(name) for name in "ab"}
    held: list[object] = []
    for name, life in lives.items():
        with loop.begin(life):
            task = loop.create_task(first(name, held))
        loop.run_until_complete(task)
    loop.end_life(lives["b"])
    held.clear()
    gc.collect()
    loop.run_until_complete(asyncio.sleep(1))
    assert log == ["a"]


def test_how_a_last_step_fails_is_no_news(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error of a living task that nobody asks for is told, one of a dead task is not."""

    async def fails(life: Life | None) -> None:
        if life is not None:
            loop.end_life(life)
        raise ValueError(f"of {life}")

    for name, own in (("a", False), ("b", True)):
        life = Life(name)
        with loop.begin(life):
            loop.create_task(fails(life if own else None))
        loop.run_until_complete(asyncio.sleep(1))
    loop.bury()
    gc.collect()
    assert [str(each.exc_info[1]) for each in caplog.records if each.exc_info] == ["of None"]
    assert capfd.readouterr().err == ""


def test_after_the_end_of_all_lives_nothing_is_scheduled(loop: VirtualLoop) -> None:
    """Timers of the dead do not make time pass: who waits for them is a deadlock at that very instant."""
    life = Life("a")
    witness = Witness(loop, life)
    loop.run_until_complete(asyncio.sleep(2.25))
    loop.end_life(life)
    with pytest.raises(Deadlock, match=r"after 2\.25 s"):
        loop.run_until_complete(asyncio.wait(witness.tasks))


def test_a_life_that_ends_in_its_own_step_runs_to_its_next_suspension(loop: VirtualLoop) -> None:
    """What it starts, schedules and hands out in that step is dropped; it knows that it has ended."""
    log: list[str] = []
    life = Life("a")

    async def suicidal() -> None:
        await asyncio.sleep(1)
        assert not ended()
        loop.end_life(life)
        assert ended()
        loop.call_soon(log.append, "soon")
        loop.call_later(100, log.append, "later")
        loop.call_soon_threadsafe(log.append, "from a thread")
        tasks.append(loop.create_task(told(log, "child", 1)))
        try:
            log.append("last")
            await asyncio.sleep(1)
            log.append("next")
        finally:
            log.append("finally")

    tasks: list[asyncio.Task[None]] = []
    with loop.begin(life):
        tasks.append(loop.create_task(suicidal()))
    loop.run_until_complete(asyncio.sleep(10))
    assert log == ["last"]
    with pytest.raises(Deadlock, match=r"after 10\.0 s"):  # not 101: its timer is none
        loop.run_until_complete(asyncio.wait(tasks))


def test_what_lives_share_outlives_one_of_them() -> None:
    """A dead reader takes nothing from a queue, no permit of a semaphore, and hinders no event or future."""
    for seed in range(20):
        loop = VirtualLoop(random.Random(seed))
        assert loop.run_until_complete(shared(loop)) == ["b: item 0", "b: item 1", "b: let in", "b: event", "b: asked"]
        loop.close()


async def shared(loop: VirtualLoop) -> list[str]:
    """Two lives wait for the same things; the first in line dies; then the things come."""
    log: list[str] = []
    queue: asyncio.Queue[str] = asyncio.Queue()
    door, event = asyncio.Semaphore(1), asyncio.Event()
    asked: dict[str, asyncio.Future[str]] = {}

    async def get(name: str) -> None:
        log.append(f"{name}: {await queue.get()}")
        log.append(f"{name}: {await queue.get()}")

    async def enters(name: str) -> None:
        async with door:
            log.append(f"{name}: let in")

    async def sees(name: str) -> None:
        await event.wait()
        log.append(f"{name}: event")

    async def asks(name: str) -> None:
        asked[name] = loop.create_future()
        log.append(f"{name}: {await asked[name]}")

    await door.acquire()
    lives = {name: Life(name) for name in "ab"}
    for name, life in lives.items():
        with loop.begin(life):
            tasks = [loop.create_task(part(name)) for part in (get, enters, sees, asks)]
        await asyncio.sleep(1)
    loop.end_life(lives["a"])
    queue.put_nowait("item 0")
    await asyncio.sleep(1)
    queue.put_nowait("item 1")
    await asyncio.sleep(1)
    door.release()
    await asyncio.sleep(1)
    event.set()
    await asyncio.sleep(1)
    for future in asked.values():
        future.set_result("asked")
    await asyncio.wait(tasks)
    return log


def test_burying_is_silent_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither then, nor when the loop closes with tasks in the middle, nor when the garbage is collected."""
    loop = VirtualLoop(random.Random(1))
    lives = [Life(str(number)) for number in range(20)]
    for life in lives:
        Witness(loop, life)
        loop.run_until_complete(asyncio.sleep(2.25))
        loop.end_life(life)
    left = Witness(loop, Life("left"))
    loop.run_until_complete(asyncio.sleep(2.25))
    gc.collect()
    assert sum(len(life.tasks) for life in lives) > 100
    loop.bury()
    gc.collect()
    assert sum(len(life.tasks) for life in lives) == 0
    loop.close()
    del left, loop
    gc.collect()
    out, err = capfd.readouterr()
    assert out + err == ""
    assert caplog.records == []


def test_a_process_ends_silently_with_all_that_is_in_its_graveyard() -> None:
    """Also what refuses to end."""
    script = """
import asyncio, random
from test_virtual import Witness
from virtual import Life, VirtualLoop

async def refuses():
    while True:
        try:
            await asyncio.sleep(1)
        except BaseException:
            pass

loop = VirtualLoop(random.Random(1))
life = Life("a")
witness = Witness(loop, life)
with loop.begin(life):
    task = loop.create_task(refuses())
loop.run_until_complete(asyncio.sleep(2))
with loop.begin(life):
    loop.create_task(asyncio.sleep(1))  # never begins
loop.end_life(life)
loop.close()
print("end")
"""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDEVMODE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("end\n", "")


if __name__ == "__main__":
    # Moves what comes after it in memory: what is made of objects of these sizes lies elsewhere then.
    padding = [bytes(size) for size in range(1, 500) for _ in range(int(sys.argv[2]) % 997)]
    made = VirtualLoop(random.Random(int(sys.argv[1])))
    sys.stdout.write(f"{made.run_until_complete(program())} {made.trace}\n")
    made.close()
