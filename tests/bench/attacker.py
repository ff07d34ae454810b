"""Who listens at the broker and may publish there, but has no key that counts: replays, alters, forges.

It knows what an insider may know (every public key, every batch's id and place), so that only signatures stand in its
way. What it sealed itself is remembered: none of it may ever be stored.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from chain import Chain
from keyring import COLLECTOR, Centre, signing
from memory_broker import Broker
from nodes import GatewayNode
from world import World

from gateway.schema import BUFFER_FILE
from protocols.uplink import batch as batches
from protocols.uplink import limits, topics
from protocols.uplink.acknowledgement import KIND, Acknowledgement
from protocols.uplink.envelope import Codec, Content, close
from protocols.uplink.keys import PublicKey, SigningKey
from protocols.uplink.ranges import Range

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

    def __init__(self, world: World, broker: Broker, centre: Centre, nodes: list[GatewayNode]) -> None:
        self.world, self.broker, self.centre, self.nodes = world, broker, centre, nodes
        self.dice = world.dice("attacker")
        self.key = signing(self.dice)
        self.forged: set[bytes] = set()

    def replay(self, times: int) -> None:
        """What was heard is said again, any kind, in any order."""
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
        for name, key in signers:
            chain = Chain(name, self.dice.randrange(2**31), key, neighbour.edge.box)
            for _ in range(self.dice.randrange(1, 4)):
                made = chain.seal()
                self.forged.add(made.id)
                packet = close(made.content, batches.KIND, node.name, self.centre.own.box.public)
                self._say("forged", topics.up(node.name, "batch"), packet)
        self._give_another_body(node)

    def _give_another_body(self, node: GatewayNode) -> None:
        """A genuine header with its signature, around the body of another batch: exports show both to many."""
        contents = _contents(node)
        if len(contents) > 1:
            (header, signature, _, _), (_, _, codec, body) = self.dice.sample(contents, 2)
            content = Content(header, signature, Codec(codec), body)
            packet = close(content, batches.KIND, node.name, self.centre.own.box.public)
            self._say("forged", topics.up(node.name, "batch"), packet)

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

    def _say(self, what: str, topic: str, payload: bytes) -> None:
        self.world.count(what)
        self.broker.take(topic, payload)


def _contents(node: GatewayNode) -> list[tuple[bytes, bytes, int, bytes]]:
    """Header, signature, codec and body of the batches that a gateway holds."""
    return _asked(node, "SELECT header, signature, codec, body FROM content ORDER BY n")


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
