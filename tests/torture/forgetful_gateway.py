"""`plomba-gateway` with a fault planted from outside: what the broker acknowledged it takes for stored, and forgets."""

from __future__ import annotations

from gateway.cli import main
from gateway.forward import Action, SendBatch
from gateway.link import Link, LivePipe

_act = Link._act


async def _act_and_forget(self: Link, pipe: LivePipe, action: Action) -> None:
    await _act(self, pipe, action)  # returns with the broker's PUBACK
    if isinstance(action, SendBatch):
        batch = action.id
        self._chain.remove([batch])
        await self._writer.do(lambda: self._buffer.set_aside(batch, "PUBACK"))


Link._act = _act_and_forget  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
