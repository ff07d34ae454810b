"""Who listens at the broker and may publish there, but has no key that counts: replays, alters, forges.

It knows what an insider may know (every public key, every batch's id and place), so that only signatures stand in its
way. What it sealed itself is remembered: none of it may ever be stored.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from chain import Chain
from crashdisk import CrashDisk
from keyring import COLLECTOR, signing
from memory_broker import Broker
from nodes import STORE, CollectorNode, GatewayNode
from world import World

from gateway.schema import BUFFER_FILE
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink import hello as hellos
from protocols.uplink import limits, topics
from protocols.uplink.acknowledgement import KIND, Acknowledgement
from protocols.uplink.envelope import Codec, Content, close, inflate
from protocols.uplink.header import ClockShown, ClockSource, ClockState
from protocols.uplink.hello import Hello
from protocols.uplink.keys import PublicKey, SigningKey
from protocols.uplink.pack import unpack
from protocols.uplink.ranges import Range

HELLO_MS = 900_000_000_000  # what the clock of a forged hello shows: decades ago
HEARD_S = 20.0  # until a forged hello is believed, or is not
CHANGED = 8  # batches whose body is changed
LISTED = 48  # batches that a forged acknowledgement frees


@dataclass(frozen=True)
class Impostor(SigningKey):
    """A key that gives itself out for another one."""

    mask: PublicKey

    @property
    def public(self) -> PublicKey:
        """Whose it says it is."""
        return self.mask


class Attacker:
    """One attacker for the whole run."""

    def __init__(self, world: World, broker: Broker, collector: CollectorNode, nodes: list[GatewayNode]) -> None:
        self.world, self.broker, self.collector, self.nodes = world, broker, collector, nodes
        self.centre = collector.centre
        self.dice = world.dice("attacker")
        self.key = signing(self.dice)
        self.forged: set[bytes] = set()
        self.twins: set[bytes] = set()  # batches of a second machine with the gateway's own key and memory
        self.twin_epochs: set[bytes] = set()

    def replay(self, times: int) -> None:
        """What was heard is said again, any kind, in any order; nobody goes back to an older word for it."""
        for node in self.nodes:
            self.world.after(HEARD_S, self._compare, node, node.disk, node.heard())
        for topic, payload in self._heard(times):
            self._say("replayed", topic, payload)

    def flip(self, times: int) -> None:
        """What was heard is said again with a bit changed."""
        for topic, payload in self._heard(times):
            changed = bytearray(payload)
            changed[self.dice.randrange(len(changed))] ^= 1 << self.dice.randrange(8)
            self._say("altered", topic, bytes(changed))

    def misdeliver(self, times: int) -> None:
        """What was meant for one is given to another."""
        for topic, payload in self._heard(times):
            found = topics.parse(topic)
            other = self.dice.choice(self.nodes).name
            self._say("misdelivered", topics.up(other, found.kind) if found.up else topics.down(other, "ack"), payload)

    def forge(self, node: GatewayNode) -> None:
        """Batches for this gateway's topic: with a key of the attacker's, and with a neighbour's."""
        neighbour = self.dice.choice(self.nodes)
        signers: list[tuple[str, SigningKey]] = [(node.name, self.key)]
        signers.append((node.name, Impostor(self.key.private, node.edge.sealing.public)))
        if neighbour is not node:
            signers += [(node.name, neighbour.edge.sealing), (neighbour.name, neighbour.edge.sealing)]
            signers += [(neighbour.name, node.edge.sealing)]  # who may publish here, in another's name
        for name, key in signers:
            chain = Chain(name, self.dice.randrange(2**31), key, neighbour.edge.box)
            for _ in range(self.dice.randrange(1, 4)):
                made = chain.seal()
                self.forged.add(made.id)
                self._send("forged", node, made.content)
        self._give_other_bodies(node)
        self._greet(node)

    def twin(self, node: GatewayNode, times: int) -> None:
        """A machine that was copied as it ran goes on beside it: other batches under the numbers that come next."""
        newest = _held_contents(node, "ORDER BY n DESC LIMIT 1")
        if not newest:
            return
        last = batches.parse(newest[0]).header
        chain = Chain(node.name, self.dice.randrange(2**31), node.edge.sealing, node.edge.box, last.config)
        chain.core, chain.created_ms = last.core.version, last.created_ms
        chain.epoch, chain.seq, chain.prev, chain.parent = last.epoch, last.seq - 1, last.prev, last.parent
        self.twin_epochs.add(last.epoch)
        for _ in range(times):
            made = chain.seal()
            self.twins.add(made.id)
            self._send("twin's", node, made.content)

    def _give_other_bodies(self, node: GatewayNode) -> None:
        """Genuine headers with their signatures, of batches on their way, around a body with a bit changed.

        Exports show both to many. What is stored already would be passed over, whatever its body is.
        """
        for genuine in _held_contents(node, f"WHERE mark = 0 ORDER BY n LIMIT {CHANGED}"):
            body = bytearray(inflate(genuine, batches.parse(genuine).header.body_len))
            body[self.dice.randrange(len(body))] ^= 1 << self.dice.randrange(8)
            self._send("forged", node, Content(genuine.header, genuine.signature, Codec.PLAIN, bytes(body)))

    def _greet(self, node: GatewayNode) -> None:
        """A hello that nobody of the gateway said."""
        clock = ClockShown(ClockState.UNSET, ClockSource.NONE, 0, None, HELLO_MS, bytes(16), 1)
        said = Hello(node.name, node.edge.sealing.public.id, bytes(16), bytes(16), (), None, 1, (1,), clock)
        header = said.to_bytes()
        content = Content(header, self.key.sign(hellos.KIND, header), Codec.PLAIN, b"")
        packet = close(content, hellos.KIND, node.name, self.centre.own.box.public)
        self._say("hellos forged", topics.up(node.name, hellos.KIND), packet)
        self.world.after(HEARD_S, self._look, node)

    def _look(self, node: GatewayNode) -> None:
        """Whether the collector shows the clock of a forged hello."""
        with closing(sqlite3.connect(self.collector.disk.folder / STORE)) as database:
            row = database.execute("SELECT hello_clock FROM gateway WHERE name = ?", (node.name,)).fetchone()
        clock = row[0] and ClockShown.from_wire(unpack(row[0], limits.HELLO_HEADER, "clock"), "clock")
        if clock and clock.since_ms == HELLO_MS:
            self.world.unexpected.append(f"forged hello of {node.name} believed")

    def _compare(self, node: GatewayNode, disk: CrashDisk, before: tuple[int, int]) -> None:
        """Whether a gateway whose disk is still the same took an acknowledgement that it had taken before."""
        if node.disk is disk and node.heard() < before:
            self.world.unexpected.append(f"old acknowledgement to {node.name} believed")

    def forge_acknowledgement(self, node: GatewayNode) -> None:
        """The word that everything this gateway holds is stored and safe, signed by nobody who may say so."""
        ranges = tuple(Range(epoch, seq, seq, batch) for epoch, seq, batch in _held(node)[-LISTED:])
        word = Acknowledgement(
            COLLECTOR,
            node.name,
            1,
            2**40 + self.dice.randrange(2**30),
            None,
            self.world.now_ms(),
            ranges,
            ranges,
            (),
            16,
            1,
            (limits.VERSION,),
            None,
        )
        header = word.to_bytes()
        content = Content(header, self.key.sign(KIND, header), Codec.PLAIN, b"")
        packet = close(content, KIND, node.name, node.edge.box.public)
        self._say("acknowledgements forged", topics.down(node.name, "ack"), packet)

    def _heard(self, times: int) -> list[tuple[str, bytes]]:
        heard = [each for each in self.broker.heard if each[1]]
        return [self.dice.choice(heard) for _ in range(times)] if heard else []

    def _send(self, what: str, node: GatewayNode, content: Content) -> None:
        self._say(
            what, topics.up(node.name, "batch"), close(content, batches.KIND, node.name, self.centre.own.box.public)
        )

    def _say(self, what: str, topic: str, payload: bytes) -> None:
        self.world.count(what)
        self.broker.take(topic, payload)


def _held_contents(node: GatewayNode, which: str) -> list[Content]:
    """Batches that a gateway holds, as far as they are whole."""
    query = f"SELECT header, signature, codec, body FROM content JOIN batch USING (n) {which}"  # noqa: S608 - ours
    found = []
    for header, signature, codec, body in _asked(node, query):
        with suppress(PlombaError, ValueError, TypeError):
            content = Content(header, signature, Codec(codec), body)
            inflate(content, batches.parse(content).header.body_len)
            found.append(content)
    return found


def _held(node: GatewayNode) -> list[tuple[bytes, int, bytes]]:
    """Epoch, number and id of every batch that a gateway holds."""
    return _asked(node, "SELECT epoch, seq, id FROM batch ORDER BY n")


def _asked(node: GatewayNode, query: str) -> list[Any]:
    """Rows of a gateway's buffer, as far as it reads."""
    path = node.disk.folder / BUFFER_FILE
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database:
        try:
            return database.execute(query).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            return []
