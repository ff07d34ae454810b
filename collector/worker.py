"""The collector without a pipe: groups of messages go in, acknowledgements come out. Used from one thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from collector import keys
from collector.acknowledge import Acknowledger, Packet, Word
from collector.config import Config
from collector.faults import ConfigFileError, StoreFullError
from collector.files import read
from collector.ingest import Ingest, Outcome
from collector.keys import WorkerKeys
from collector.store.gateways import Registered
from collector.store.interface import Store
from collector.verify import Checker, Message
from protocols.uplink import trust
from protocols.uplink.trust import Trust

log = structlog.get_logger()


class Worker:
    """Checks, stores and answers; says once when the store does not take it, and once when it does again."""

    def __init__(self, config: Config, own: WorkerKeys, document: Trust, store: Store) -> None:
        self._store = store
        self._ingest = Ingest(store, config.ring)
        word = Word(config.collector, own.ack, config.window, config.safe_after_s * 1000, document.number)
        self._acknowledger = Acknowledger(store, word)
        self._own = own
        self._collector = config.collector
        self._register: dict[str, Registered] = {}
        self._checker = self._made_checker()
        self._full = False

    @property
    def full(self) -> bool:
        """Whether the store did not take the last group."""
        return self._full

    def start(self, now_ms: int) -> None:
        """Assert what acknowledgements promise, and decode what an earlier version could not.

        Raises:
            DurabilityError: the store does not promise enough; nothing may be acknowledged.
            StoreFullError: the store does not take what is decoded now.
        """
        self._store.durability()
        self._see_register()
        self._say(self._ingest.retry(now_ms))

    def greet(self, mine: Callable[[str], bool]) -> None:
        """Owe the known gateways that are `mine`, by name, an acknowledgement, so that they resume at once."""
        try:
            self._see_register()
        except StoreFullError as error:
            self._stuck(error)
        for name in filter(mine, self._register):
            self._acknowledger.owe(name)

    def take(self, messages: Sequence[Message], now_ms: int) -> None:
        """Check and store a group; when the store does not take it nothing is owed, and the gateways send it again."""
        try:
            self.store_group(messages, now_ms)
        except StoreFullError as error:
            self._stuck(error)
        else:
            self._unstuck()

    def store_group(self, messages: Sequence[Message], now_ms: int) -> Outcome:
        """Check and store a group; what became of it.

        Raises:
            StoreFullError: the store does not take it: nothing of it counts, nothing is owed.
        """
        self._see_register()
        verified = [self._checker.check(message) for message in messages]
        outcome = self._ingest.commit(verified, now_ms)
        self._say(outcome)
        for gateway in outcome.due:
            hello, refusals = outcome.hellos.get(gateway), outcome.refusals.get(gateway, [])
            self._acknowledger.owe(gateway, hello, refusals)
        return outcome

    def words(self, now_ms: int, mono_ms: int) -> list[Packet]:
        """The acknowledgements that may leave now."""
        try:
            boxes = {name: each.box for name, each in self._register.items()}
            return self._acknowledger.make(boxes, now_ms, mono_ms)
        except StoreFullError as error:
            self._stuck(error)
            return []

    def wait_ms(self, mono_ms: int) -> int | None:
        """How long until `words` has something to say; None: only after the next group."""
        waiting = self._acknowledger.wait_ms(mono_ms)
        # A store that is full is asked again once a second.
        return waiting if waiting is None or not self._full else max(waiting, 1_000)

    def _see_register(self) -> None:
        """Take up what an operator's command has changed."""
        if self._store.changed():
            self._checker = self._made_checker()

    def _made_checker(self) -> Checker:
        self._register = self._store.gateways.register()
        return Checker(self._collector, {self._own.box.public.id: self._own.box}, self._own.ack.public, self._register)

    def _stuck(self, error: StoreFullError) -> None:
        if not self._full:
            log.error("nothing is stored or acknowledged", fault=str(error))
        self._full = True

    def _unstuck(self) -> None:
        if self._full:
            log.info("the store takes batches again")
        self._full = False

    def _say(self, outcome: Outcome) -> None:
        for case in outcome.opened:
            subject = case.subject.hex()
            log.warning(
                "case opened", n=case.n, gateway=case.gateway, kind=case.kind, subject=subject, facts=case.facts
            )


def read_trust(config: Config, own: WorkerKeys) -> Trust:
    """The trust document that names this worker's keys.

    Raises:
        FileThereError, SecurityError: there is none, or it does not hold.
        ConfigFileError: it is for another collector or for other keys.
    """
    path: Path = config.keys_folder / keys.TRUST
    document = trust.read(read(path))
    if document.collector != config.collector:
        raise ConfigFileError(f"a trust document for {config.collector}", document.collector, str(path))
    if (document.ack, document.seal) != (own.ack.public, own.seal.public) or own.box.public not in document.boxes:
        raise ConfigFileError("a trust document that names this worker's keys", "one that names others", str(path))
    return document
