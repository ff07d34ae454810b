"""The gateway's daemon, but for the source of its readings: `fed.py gateway.toml PORT` asks the contest's meters.

Only `gateway.daemon.pollers` is substituted. A round is handed over and sealed as `gateway.poll` does it: each reading
when it was answered, the seal at the end of the round.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from sixes import shown

from gateway import config_file, daemon, logs
from gateway.clock import GatewayClock
from gateway.seal import Sealer
from protocols.reading import Exchange

LINE = 1 << 20  # bytes of one answer at most


class FeedPoller:
    """Asks until `stop`."""

    def __init__(self, port: int, clock: GatewayClock, sealer: Sealer) -> None:
        self._port, self._clock, self._sealer = port, clock, sealer
        self._asking: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End after the answer in hand."""
        if self._asking is not None:
            self._asking.cancel()

    async def run(self) -> None:
        """Ask, hand over, seal."""
        self._asking = asyncio.create_task(self._ask())
        await asyncio.wait({self._asking})
        if not self._asking.cancelled():
            self._asking.result()

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=LINE)
        accepted = -1
        while True:
            writer.write(b"%d\n" % accepted)
            answer = json.loads(await reader.readline())
            for meter, slot_ms, *values in answer["rows"]:
                octets = json.dumps(values).encode()
                exchange = Exchange(
                    self._clock.utc_ms(), self._clock.mono_ms(), 1, self._clock.quality(), octets, keep=False
                )
                self._sealer.take([shown(meter, values, slot_ms, exchange)])
            if answer["ends_round"]:
                await self._sealer.round_over()
                if self._committed():
                    accepted = answer["newest"]

    def _committed(self) -> bool:
        """Whether nothing waits in memory: what was handed over is on the disk."""
        return self._sealer._pending is None and not self._sealer._readings and not self._sealer.full


def main() -> None:
    """Run the daemon."""
    port = int(sys.argv[2])

    def pollers(
        configuration: Any, slots: Any, positions: Any, clock: GatewayClock, sink: Sealer, *_: Any
    ) -> list[Any]:
        return [FeedPoller(port, clock, sink)]

    daemon.pollers = pollers
    logs.set_up()
    daemon.run(config_file.read_configuration(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
