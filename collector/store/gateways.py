"""Who may send: gateways, their keys, their approved configurations, and what was last heard and said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collector.store.sql import Connection
from protocols.uplink.keys import Algorithm, PublicKey

ACTIVE, RETIRED, REVOKED = "active", "retired", "revoked"


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A sealing key and its state."""

    key: PublicKey
    state: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A gateway: the key that messages to it are sealed to, and its sealing keys by id."""

    name: str
    box: PublicKey
    keys: dict[bytes, GatewayKey]


@dataclass(frozen=True, slots=True)
class Contact:
    """What was last heard of a gateway, and the number of its last acknowledgement."""

    name: str
    registered_ms: int
    contact_ms: int | None
    hello_ms: int | None
    hello_clock: bytes | None
    status: str | None
    ack_number: int
    hello_held: bytes | None = None


class Gateways:
    """The tables gateway, gateway_key, config_approved and the generation in meta."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def register(self) -> dict[str, Registered]:
        """All gateways by name."""
        found = {
            name: Registered(name, PublicKey(Algorithm.X25519, box), {})
            for name, box in self._sql.execute("SELECT name, box FROM gateway ORDER BY name")
        }
        rows = self._sql.execute("SELECT gateway, key, algorithm, public, state FROM gateway_key ORDER BY gateway, key")
        for gateway, key, algorithm, public, state in rows:
            found[gateway].keys[key] = GatewayKey(PublicKey(Algorithm(algorithm), public), state)
        return found

    def add(self, name: str, box: PublicKey, key: PublicKey, now_ms: int) -> None:
        """Register a new gateway with one active key."""
        self._sql.execute("INSERT INTO gateway (name, box, registered_ms) VALUES (?, ?, ?)", (name, box.octets, now_ms))
        self._sql.execute(
            "INSERT INTO gateway_key VALUES (?, ?, ?, ?, ?)", (name, key.id, int(key.algorithm), key.octets, ACTIVE)
        )

    def approve(self, gateway: str, config: bytes, now_ms: int) -> None:
        """From now on batches with this configuration are not held for it."""
        self._sql.execute(
            "INSERT INTO config_approved VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (gateway, config, now_ms)
        )

    def approved(self, gateway: str, config: bytes) -> bool:
        """Whether an operator or the enrolment accepted this configuration."""
        row = self._sql.execute(
            "SELECT 1 FROM config_approved WHERE gateway = ? AND hash = ?", (gateway, config)
        ).fetchone()
        return row is not None

    def set_key_state(self, gateway: str, key: bytes, state: str) -> None:
        """Retire or revoke a sealing key."""
        self._sql.execute("UPDATE gateway_key SET state = ? WHERE gateway = ? AND key = ?", (state, gateway, key))

    def heard(self, gateway: str, now_ms: int) -> None:
        """Something authentic came."""
        self._sql.execute("UPDATE gateway SET contact_ms = ? WHERE name = ?", (now_ms, gateway))

    def heard_hello(self, gateway: str, clock: bytes, held: bytes, now_ms: int) -> None:
        """A hello came, with this clock and these ranges (their arrays, packed)."""
        self._sql.execute(
            "UPDATE gateway SET contact_ms = ?, hello_ms = ?, hello_clock = ?, hello_held = ? WHERE name = ?",
            (now_ms, now_ms, clock, held, gateway),
        )

    def show_status(self, gateway: str, text: str) -> None:
        """Keep the unsigned last will for display."""
        self._sql.execute("UPDATE gateway SET status = ? WHERE name = ?", (text, gateway))

    def contacts(self) -> list[Contact]:
        """All gateways in name order."""
        rows = self._sql.execute(
            "SELECT name, registered_ms, contact_ms, hello_ms, hello_clock, status, ack_number, hello_held"
            " FROM gateway ORDER BY name"
        )
        return [Contact(*row) for row in rows]

    def next_numbers(self, gateways: Iterable[str]) -> dict[str, int]:
        """Raise and return the acknowledgement numbers (in name order: two workers then cannot block each other)."""
        found: dict[str, int] = {}
        for name in sorted(gateways):
            row = self._sql.execute(
                "UPDATE gateway SET ack_number = ack_number + 1 WHERE name = ? RETURNING ack_number", (name,)
            ).fetchone()
            found[name] = row[0]
        return found

    def number(self, gateway: str) -> int:
        """The number of the last acknowledgement."""
        found: int = self._sql.execute("SELECT ack_number FROM gateway WHERE name = ?", (gateway,)).fetchone()[0]
        return found

    def generation(self) -> int:
        """The generation of all acknowledgements."""
        found: int = self._sql.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0]
        return found

    def set_generation(self, generation: int) -> None:
        """Begin a new generation: gateways forget all marks and offer all they hold."""
        self._sql.execute("UPDATE meta SET value = ? WHERE name = 'generation'", (generation,))
