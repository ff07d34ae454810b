"""Lines that remember what went over them since they were opened, or since their speed was changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.lines import Lines
from protocols.transports.exchange import ClosableLine
from protocols.transports.optical import SpeedLine


@dataclass(slots=True)
class Log:
    """What was written (True) and what came, in order; `opened` says whether a line was there at all."""

    opened: bool = False
    entries: list[tuple[bool, bytes]] = field(default_factory=list, repr=False)

    def begin(self, opened: bool) -> None:
        """Forget what was."""
        self.opened = opened
        self.entries.clear()


class Tap:
    """A line with its log."""

    def __init__(self, line: ClosableLine, log: Log) -> None:
        self._line, self._log = line, log
        log.begin(opened=True)

    def flush_input(self) -> None:
        """As the line."""
        self._line.flush_input()

    async def write(self, octets: bytes) -> None:
        """As the line."""
        self._log.entries.append((True, octets))
        await self._line.write(octets)

    async def read_some(self, timeout_s: float) -> bytes:
        """As the line."""
        octets = await self._line.read_some(timeout_s)
        self._log.entries.append((False, octets))
        return octets

    def close(self) -> None:
        """As the line."""
        self._line.close()


class SpeedTap(Tap):
    """... of a line whose speed can be set."""

    def __init__(self, line: SpeedLine, log: Log) -> None:
        super().__init__(line, log)
        self._speed_line = line

    async def set_speed(self, baud: int) -> None:
        """As the line; another conversation begins."""
        await self._speed_line.set_speed(baud)
        self._log.begin(opened=True)


def tapped(lines: Lines, log: Log) -> Lines:
    """The same lines, with a log of the one that was opened last."""

    def tap(line: ClosableLine) -> ClosableLine:
        return SpeedTap(line, log) if isinstance(line, SpeedLine) else Tap(line, log)

    async def tcp(host: str, port: int, timeout_s: float) -> ClosableLine:
        return tap(await lines.tcp(host, port, timeout_s))

    async def rfc2217(host: str, port: int, baud: int, mode: str) -> ClosableLine:
        return tap(await lines.rfc2217(host, port, baud, mode))

    return replace(lines, serial=lambda port, baud, mode: tap(lines.serial(port, baud, mode)), tcp=tcp, rfc2217=rfc2217)
