"""An event loop on virtual time: nothing waits, a seed draws the order of ready callbacks, processes can just stop.

Time begins at 0 and leaps to the next timer when nothing is ready. Of several ready callbacks any may be the next one
(asyncio promises first come, first served; what relies on that between tasks is what this loop is to find).

A `Life` is a process: tasks, callbacks and timers that are started inside `begin` carry it in their context. After
`end_life` none of them runs again, nor does any `finally` or `except` of theirs: nothing is cancelled, what is
suspended lies in a graveyard. The step that is running when its life ends goes on to its next suspension; what it
schedules is dropped, and what it does to others they must refuse themselves (`ended`). Queues, events, semaphores and
futures that others share with it work on (a lock does not: its first waiter, or holder, is the dead one, and only that
could let the next one pass).

The same seed and program give the same order of callbacks in any process: tasks and futures of this loop hash by the
number of their making, so sets of them (`asyncio.wait`, task groups) have one order too. Not covered: sets of strings
under another PYTHONHASHSEED, sets of other objects (hashed by address), finalisers, what other threads do. The loop
does no I/O at all; `run_in_executor` and `to_thread` call the function at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import math
import random
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakSet

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
TURNS_MAX = 100_000  # of the loop without time going on; a busy start takes some hundred
SHOWN = 10  # tasks named in an error
GENERATORS = 1_000  # whose lives are known; when there are more, those that are gone are forgotten
CLOSINGS = 20  # of one coroutine: every `finally` block that awaits wants one more


class Deadlock(Exception):  # noqa: N818 - what it is
    """Nothing is ready and nothing is scheduled, and yet somebody waits."""


class Livelock(Exception):  # noqa: N818 - what it is
    """Callbacks go on without end while time stands."""


class Life:
    """One run of one process."""

    def __init__(self, name: str) -> None:
        self.name, self.ended = name, False
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    def __repr__(self) -> str:
        return f"<life {self.name}{' (ended)' if self.ended else ''}>"


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)


def ended() -> bool:
    """Whether this code runs in the last step of a life that has ended: what it does must reach nobody."""
    life = LIFE.get()
    return life is not None and life.ended


class _Future(asyncio.Future[Any]):
    """A future that counts as done when its maker is dead (queues pass it over), with one hash in every process."""

    def __init__(self, *, loop: VirtualLoop) -> None:
        self.number, self.life = next(loop.numbers), LIFE.get()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    def done(self) -> bool:
        return super().done() or (self.life is not None and self.life.ended)


class _Task(asyncio.Task[Any]):
    """A task that knows its life, with one hash in every process."""

    def __init__(self, coro: Coroutine[Any, Any, Any], loop: VirtualLoop, name: str | None, context: Context | None):
        self.number, self.life = next(loop.numbers), LIFE.get() if context is None else context.get(LIFE)
        super().__init__(coro, loop=loop, name=name or f"task-{self.number}", context=context)

    def __hash__(self) -> int:
        return self.number


class _Ready:
    """What is ready, in place of the loop's queue: taken in drawn order, nothing of an ended life."""

    def __init__(self, dice: random.Random, dead: asyncio.Handle, grave: list[object]) -> None:
        self._draw, self._dead, self._grave = dice.random, dead, grave
        self._handles: list[Any] = []
        self.trace = 0

    def __len__(self) -> int:
        return len(self._handles)

    def append(self, handle: Any) -> None:
        """One more."""
        life = handle._context.get(LIFE)
        if life is not None and life.ended:
            self._grave.append(handle)
        else:
            self._handles.append(handle)

    def popleft(self) -> Any:
        """Any of them; a cancelled one in place of what ended meanwhile."""
        handles = self._handles
        if not handles:
            return self._dead
        count = len(handles)
        place = int(self._draw() * count) if count > 1 else 0
        self.trace = hash((self.trace, place, count))
        handle = handles[place]
        handles[place] = handles[-1]
        handles.pop()
        return handle

    def drop_ended(self) -> None:
        """Let nothing of an ended life run."""
        handles, self._handles = self._handles, []
        for handle in handles:
            self.append(handle)

    def clear(self) -> None:
        """None is left."""
        self._handles.clear()


class _Clock:
    """In place of a selector: where another loop waits, time leaps."""

    def __init__(self, loop: VirtualLoop, turns_max: int) -> None:
        self._loop, self._turns_max, self._turns = loop, turns_max, 0
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        """Leap to the next timer.

        Raises:
            Deadlock: there is none.
            Livelock: too many turns without a leap.
        """
        if timeout is None:
            raise Deadlock(
                f"expected something to happen after {self.now} s, got only who waits: {self._loop.waiting()}"
            )
        if timeout > 0:
            self.now = self._loop.next_s()
            self._turns = 0
            return []
        self._turns += 1
        if self._turns > self._turns_max:
            self._turns = 0
            raise Livelock(
                f"expected time to go on, got {self._turns_max} turns at {self.now} s; tasks: {self._loop.waiting()}"
            )
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop; `dice` draws the order, `late_results` hands an executor's result out in a later turn."""

    _ready: _Ready
    _asyncgens: WeakSet[Any]
    _scheduled: list[Any]
    _timer_cancelled_count: int

    def __init__(self, dice: random.Random, *, turns_max: int = TURNS_MAX, late_results: bool = False) -> None:
        self._selector = _Clock(self, turns_max)
        super().__init__()
        self.numbers = itertools.count(1)
        self._late_results = late_results
        self._grave: list[object] = []
        self._generators: dict[int, Life] = {}
        dead = asyncio.Handle(_nothing, (), self)
        dead.cancel()
        self._ready = _Ready(dice, dead, self._grave)

    @property
    def trace(self) -> int:
        """A number for the order so far: two runs that have the same one went the same way."""
        return self._ready.trace

    @contextmanager
    def begin(self, life: Life) -> Iterator[Life]:
        """What is started inside belongs to a life."""
        token = LIFE.set(life)
        try:
            yield life
        finally:
            LIFE.reset(token)

    def end_life(self, life: Life, *belongings: object) -> None:
        """A power cut of a process: nothing of it runs any more; `belongings` are kept from finalisers until `bury`."""
        life.ended = True
        self._grave += [*life.tasks, *belongings]
        self._ready.drop_ended()
        alive = []
        for timer in self._scheduled:
            owner = timer._context.get(LIFE)
            if owner is not None and owner.ended:
                timer._scheduled = False
                self._grave.append(timer)
            else:
                alive.append(timer)
        self._timer_cancelled_count = sum(timer.cancelled() for timer in alive)
        heapq.heapify(alive)
        self._scheduled[:] = alive

    def bury(self) -> None:
        """Dispose of all that has ended, in silence.

        Python cannot free what is suspended without running its `finally` blocks: only now they do, in a life that has
        ended, so what they schedule is dropped. What awaits again and again is kept for ever.
        """
        grave = self._grave[:]
        self._grave.clear()
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(self)  # what awaits as it ends suspends once more, it does not fail and try again
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for each in grave:
                    if isinstance(each, _Task):
                        self._bury_task(each)
                grave.clear()
                self._grave.clear()  # what was scheduled meanwhile
        finally:
            asyncio._set_running_loop(running)

    def close(self) -> None:
        """End everything that is left, bury it, close."""
        if not self.is_closed():
            rest = Life("rest")
            for task in asyncio.all_tasks(self):
                if isinstance(task, _Task):
                    task.life = task.life or rest
                    task.life.ended = True
                    self._grave.append(task)
            self._ready.clear()
            self._scheduled.clear()
            self.bury()
        super().close()

    def waiting(self) -> str:
        """The tasks that wait, by name and place, those of ended lives left out."""
        tasks = [each for each in asyncio.all_tasks(self) if isinstance(each, _Task)]
        tasks = sorted((each for each in tasks if each.life is None or not each.life.ended), key=hash)
        rest = [f"and {len(tasks) - SHOWN} more"] if len(tasks) > SHOWN else []
        return ", ".join([*map(_place, tasks[:SHOWN]), *rest]) or "none"

    def next_s(self) -> float:
        """When the next timer is due."""
        when: float = self._scheduled[0].when()
        return when

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._selector.now

    @property
    def _clock_resolution(self) -> float:
        """The next number after now: a timer is due at its instant, never before, however late it is."""
        return math.ulp(self._selector.now)

    @_clock_resolution.setter
    def _clock_resolution(self, value: float) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        """A future of the life that asks for it."""
        return _Future(loop=self)

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **_: object
    ) -> asyncio.Task[Any]:
        """A task of the life that asks for it, or of the context's."""
        task = _Task(coro, self, None if name is None else str(name), context)
        if task.life is not None:
            task.life.tasks.add(task)
        return task

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """A timer, which never fires for a life that has ended."""
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is None or not life.ended:
            return super().call_at(when, callback, *args, context=context)
        return asyncio.TimerHandle(when, callback, args, self, context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call it at once; the future is done, or will be in a later turn, unless it was cancelled meanwhile."""
        future: asyncio.Future[T] = self.create_future()
        try:
            found = func(*args)
        except Exception as error:  # noqa: BLE001 - it belongs to who awaits
            fault = error
            self._hand_out(lambda what: None if future.done() else future.set_exception(what), fault)
        else:
            self._hand_out(lambda what: None if future.done() else future.set_result(what), found)
        return future

    def call_exception_handler(self, context: Any) -> None:
        """What an ended life leaves behind is no news."""
        owner = context.get("future") or context.get("task")
        life = getattr(owner, "life", None)
        if life is None or not life.ended:
            super().call_exception_handler(context)

    def _hand_out(self, give: Callable[[Any], None], what: object) -> None:
        if self._late_results:
            self.call_soon(give, what)
        else:
            give(what)

    def _bury_task(self, task: _Task) -> None:
        coroutine = task.get_coro()
        assert isinstance(coroutine, Generator | Coroutine)
        context = Context()
        context.run(LIFE.set, task.life)
        for _ in range(CLOSINGS):
            try:
                context.run(coroutine.close)
            except BaseException:  # noqa: BLE001, S112 - it awaits or fails as it ends: nobody is to hear of it
                continue
            return
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))  # the end of what refuses to end would be heard

    def _asyncgen_firstiter_hook(self, generator: Any) -> None:
        life = LIFE.get()
        if life is not None:
            if len(self._generators) > GENERATORS:
                here = {id(each) for each in self._asyncgens}
                self._generators = {each: life for each, life in self._generators.items() if each in here}
            self._generators[id(generator)] = life
        super()._asyncgen_firstiter_hook(generator)  # type: ignore[misc]

    def _asyncgen_finalizer_hook(self, generator: Any) -> None:
        """Close an abandoned generator in a task of its own, unless its life has ended: then it just goes."""
        life = self._generators.pop(id(generator), None)
        if life is None or not life.ended:
            super()._asyncgen_finalizer_hook(generator)  # type: ignore[misc]

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(main: Coroutine[Any, Any, T], seed: int) -> T:
    """The result of `main` on a loop of its own; what is left then is disposed of."""
    loop = VirtualLoop(random.Random(seed))
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def _nothing() -> None:
    pass


def _place(task: _Task) -> str:
    stack = task.get_stack(limit=1)
    where = f" at {stack[0].f_code.co_name}:{stack[0].f_lineno}" if stack else ""
    return f"{task.get_name()}{f' of {task.life.name}' if task.life else ''}{where}"
