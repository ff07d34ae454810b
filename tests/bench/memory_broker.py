"""A broker in memory, as hostile as the contract allows: it drops, repeats, delays and reorders, and forgets at will.

It hands on what its subscribers are connected for and keeps nothing for those who are not (clean sessions). A PUBACK is
given for everything that reaches it, also for what it then loses.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from world import World

from protocols.transports.pipe import (
    INBOX_BYTES,
    INBOX_MESSAGES,
    PACKET_LIMIT,
    ConnectError,
    LinkLostError,
    PacketTooLongError,
    PipeSettings,
    PublishTimeoutError,
)

NEAR_S = (0.01, 0.4)  # one way through a network that is well
LATE_S = (5.0, 120.0)
PING_S = 50.0  # until a client notices a peer that is silent: a ping after 25 s and its answer
REMEMBERED = 600  # messages that an attacker who listens at the broker keeps


@dataclass(slots=True)
class Weather:
    """How likely each message is lost behind its PUBACK, repeated, or late."""

    loses: float = 0.0
    repeats: float = 0.0
    late: float = 0.0


class Door:
    """The way of one client to the broker: open, shut (refused and broken) or a black hole (nothing comes through)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shut = self.hole = False
        self.pipes: set[MemoryPipe] = set()

    def break_all(self, why: str) -> None:
        """End all connections through this door."""
        for pipe in tuple(self.pipes):
            pipe.end(why)


class Broker:
    """One broker; `heard` is what an attacker has listened to: topic and payload."""

    def __init__(self, world: World, certificate: bytes) -> None:
        self.world, self.certificate = world, certificate
        self.weather = Weather()
        self.down = False
        self.heard: deque[tuple[str, bytes]] = deque(maxlen=REMEMBERED)
        self.doors: list[Door] = []
        self._dice = world.dice("broker")

    def door(self, name: str) -> Door:
        """A way in for a client."""
        found = Door(name)
        self.doors.append(found)
        return found

    def stop(self) -> None:
        """The broker dies with everything that it had not handed on."""
        self.down = True
        for door in self.doors:
            door.break_all("the broker ended")

    def start(self) -> None:
        """It is back, and remembers nothing."""
        self.down = False

    @asynccontextmanager
    async def connect(self, door: Door, settings: PipeSettings) -> AsyncIterator[MemoryPipe]:
        """A connection through `door`."""
        await asyncio.sleep(self._dice.uniform(*NEAR_S))
        if door.hole:
            await asyncio.sleep(settings.connect_timeout_s)
            raise ConnectError("a connection", "no answer in time", door.name)
        if door.shut or self.down:
            raise ConnectError("a connection", "refused", door.name)
        pipe = MemoryPipe(self, door, self._dice)
        door.pipes.add(pipe)
        self.world.count("connections")
        try:
            yield pipe
        finally:
            pipe.end("it was closed")

    def take(self, topic: str, payload: bytes) -> None:
        """A message came in; `weather` decides what becomes of it."""
        if self.down:
            return
        self.heard.append((topic, payload))
        for pipe in [each for door in self.doors for each in door.pipes if each.wants(topic)]:
            for delay_s in self._copies():
                self.world.after(delay_s, pipe.deliver, topic, payload)

    def _copies(self) -> list[float]:
        dice, weather = self._dice, self.weather
        if dice.random() < weather.loses:
            self.world.count("messages lost")
            return []
        times = 1
        while times < 4 and dice.random() < weather.repeats:
            times += 1
            self.world.count("messages repeated")
        return [self._delay_s() for _ in range(times)]

    def _delay_s(self) -> float:
        if self._dice.random() < self.weather.late:
            self.world.count("messages late")
            return self._dice.uniform(*LATE_S)
        return self._dice.uniform(*NEAR_S)


class MemoryPipe:
    """One connection, of the shape of `protocols.transports.mqtt.Pipe`."""

    def __init__(self, broker: Broker, door: Door, dice: random.Random) -> None:
        self._broker, self._door, self._dice = broker, door, dice
        self._filters: tuple[tuple[str, ...], ...] = ()
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._held = 0
        self._ended: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    def peer_certificate(self) -> bytes:
        """The broker's certificate (DER)."""
        return self._broker.certificate

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Receive what matches from now on."""
        await self._there_and_back()
        self._filters = tuple(tuple(each.split("/")) for each in topics)

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Receive what matches no longer."""
        await self._there_and_back()
        gone = {tuple(each.split("/")) for each in topics}
        self._filters = tuple(each for each in self._filters if each not in gone)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker and wait for its PUBACK."""
        if len(payload) > PACKET_LIMIT:
            raise PacketTooLongError(f"at most {PACKET_LIMIT} bytes", f"{len(payload)}", topic)
        await self._way()
        self._broker.take(topic, payload)
        await self._way()

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """What comes in, until the connection ends."""
        while True:
            while self._inbox:
                topic, payload = self._inbox.popleft()
                self._held -= len(payload)
                yield topic, payload
            self._check()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def wants(self, topic: str) -> bool:
        """Whether a subscription matches."""
        parts = topic.split("/")
        return any(
            len(each) == len(parts) and all(a in ("+", b) for a, b in zip(each, parts, strict=True))
            for each in self._filters
        )

    def deliver(self, topic: str, payload: bytes) -> None:
        """A message arrives, unless nobody is there any more or the inbox is full."""
        if self._ended is not None or self._door.hole or self._broker.down:
            return
        if len(self._inbox) >= INBOX_MESSAGES or self._held + len(payload) > INBOX_BYTES:
            self._broker.world.count("inbox full")
            return
        self._inbox.append((topic, payload))
        self._held += len(payload)
        self._wake()

    def end(self, why: str) -> None:
        """The connection is over."""
        if self._ended is None:
            self._ended = why
        self._door.pipes.discard(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self._ended is not None:
            raise LinkLostError("a live connection", self._ended, "the pipe")

    async def _there_and_back(self) -> None:
        await self._way()
        await self._way()

    async def _way(self) -> None:
        """One way through the network."""
        self._check()
        await asyncio.sleep(self._dice.uniform(*NEAR_S))
        if self._door.hole:
            await asyncio.sleep(30.0)
            if self._door.hole:
                raise PublishTimeoutError("a PUBACK", "nothing in 30 s", self._door.name)
        self._check()
