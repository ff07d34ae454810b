"""What the daemon that runs says of itself at its local socket, and how a command on the same machine asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway import local
from gateway.clock import STEPS, GatewayClock
from gateway.faults import DaemonSilent
from protocols.errors import PeerError
from protocols.uplink.header import ClockShown, Core
from protocols.uplink.keys import HASH
from protocols.uplink.pack import Fields, Wire

ABOUT, TIME = "about", "time"  # verbs


@dataclass(frozen=True, slots=True)
class About:
    """The program that runs: its core, the hash of the configuration that it was started with, and its process."""

    core: Core
    configuration: bytes
    process: int

    def to_wire(self) -> list[Wire]:
        """The array of 3."""
        return [self.core.to_wire(), self.configuration, self.process]

    @classmethod
    def from_wire(cls, value: Wire) -> About:
        """Parse the array of 3, or more of a later release.

        Raises:
            PeerError: a field is not what was expected, and which.
        """
        fields = Fields(value, "about", 3)
        core = Core.from_wire(fields.any(), "about")
        return cls(core, fields.octets("configuration", HASH), fields.integer("process", 0))


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock changed by `by_ms` at `at_ms` (UTC, as the clock counts now)."""

    at_ms: int
    by_ms: int


@dataclass(frozen=True, slots=True)
class Ticking:
    """The daemon's clock: `now_ms` (UTC), how good it is, and its latest jumps, oldest first."""

    now_ms: int
    clock: ClockShown
    jumps: tuple[Jump, ...]

    @classmethod
    def of(cls, clock: GatewayClock) -> Ticking:
        """As `clock` is now."""
        now_ms, mono_ms = clock.utc_ms(), clock.mono_ms()
        return cls(
            now_ms, clock.shown(), tuple(Jump(now_ms - mono_ms + each.mono_ms, each.by_ms) for each in clock.steps)
        )

    def to_wire(self) -> list[Wire]:
        """The array of 3."""
        return [self.now_ms, self.clock.to_wire(), [[each.at_ms, each.by_ms] for each in self.jumps]]

    @classmethod
    def from_wire(cls, value: Wire) -> Ticking:
        """Parse the array of 3, or more of a later release.

        Raises:
            PeerError: a field is not what was expected, and which.
        """
        fields = Fields(value, "time", 3)
        now_ms, clock = fields.integer("now"), ClockShown.from_wire(fields.any(), "time")
        pairs = [Fields(each, "time.jump", 2) for each in fields.array("jumps", STEPS)]
        return cls(now_ms, clock, tuple(Jump(each.integer("at"), each.integer("by")) for each in pairs))


def ask_about(folder: Path) -> About:
    """The daemon that runs in `folder`.

    Raises:
        DaemonRefused, DaemonSilent: as for `local.ask`.
    """
    try:
        return About.from_wire(local.ask(folder, ABOUT))
    except PeerError as error:
        raise DaemonSilent("what a daemon says of itself", str(error), str(folder)) from None


def ask_time(folder: Path) -> Ticking:
    """The clock of the daemon that runs in `folder`.

    Raises:
        DaemonRefused, DaemonSilent: as for `local.ask`.
    """
    try:
        return Ticking.from_wire(local.ask(folder, TIME))
    except PeerError as error:
        raise DaemonSilent("what a daemon says of its clock", str(error), str(folder)) from None
