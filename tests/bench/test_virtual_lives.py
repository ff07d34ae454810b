"""What has ended is silent: no step, timer, `finally` or `except` of a life after its end."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from virtual import Deadlock, Life, VirtualLoop, ended

HERE = Path(__file__).parent


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop, closed in the end."""
    made = VirtualLoop(random.Random(1))
    yield made
    made.close()


async def told(log: list[str], name: str, steps: int, wait_s: float = 0) -> None:
    """Notes each of its steps."""
    for step in range(steps):
        await asyncio.sleep(wait_s)
        log.append(f"{name}{step}")


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
from test_virtual_lives import Witness
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
