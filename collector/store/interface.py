"""What the collector asks of a store, and what a store promises.

A store is one writer's view. Everything is written inside `transaction()`; what is in it is either wholly there after a
power cut or not at all, and when `transaction()` has been left without an error it is on the disk (`durability` says
whether the store can promise that). `savepoint()` takes back what failed inside it and leaves the rest of the
transaction as it was. Other processes may read, and write in transactions of their own, at any time: `changed()` says
that one may have changed the register of gateways since it was last asked.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from collector.seat import Seated
from collector.store.cases import Cases
from collector.store.curves import CurveTable
from collector.store.devices import DeviceTable
from collector.store.due import DueTable
from collector.store.erasures import ErasureTable
from collector.store.evidence import EvidenceTable
from collector.store.gateways import Gateways
from collector.store.master import Master
from collector.store.readings import Readings
from collector.store.ring import Ring
from collector.store.series import SeriesTable
from collector.store.stands import StandTable


class Store(Protocol):
    """The tables by subject, and the promise above."""

    @property
    def gateways(self) -> Gateways: ...  # noqa: D102 - who may send
    @property
    def evidence(self) -> EvidenceTable: ...  # noqa: D102 - batches as received, and their places
    @property
    def readings(self) -> Readings: ...  # noqa: D102 - what was in them
    @property
    def series(self) -> SeriesTable: ...  # noqa: D102 - each meter's newest readings
    @property
    def devices(self) -> DeviceTable: ...  # noqa: D102 - what fails, what is configured
    @property
    def cases(self) -> Cases: ...  # noqa: D102 - what an operator must look at, and the journal
    @property
    def curves(self) -> CurveTable: ...  # noqa: D102 - series of channels
    @property
    def stands(self) -> StandTable: ...  # noqa: D102 - values of registers with their dates
    @property
    def due(self) -> DueTable: ...  # noqa: D102 - what attribution has to do
    @property
    def erasures(self) -> ErasureTable: ...  # noqa: D102 - what was erased, and stays so
    @property
    def ring(self) -> Ring: ...  # noqa: D102 - refused messages and counters
    @property
    def master(self) -> Master: ...  # noqa: D102 - where delivery is measured, and by what
    def transaction(self) -> AbstractContextManager[None]: ...  # noqa: D102
    def savepoint(self) -> AbstractContextManager[None]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def durability(self) -> None: ...  # noqa: D102 - raises DurabilityError
    def forget(self) -> bool: ...  # noqa: D102 - leave no trace of what was deleted, where the store can
    def changed(self) -> bool: ...  # noqa: D102
    def workers(self) -> list[Seated]: ...  # noqa: D102 - those that share the work now, by their seats
    def snapshot(self) -> str: ...  # noqa: D102 - of a view, for another connection
    def leads(self, job: int) -> bool: ...  # noqa: D102 - whether this connection alone does what only one shall do
