"""The worker: what it says once, what it takes up while it runs, and what it refuses to promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import COLLECTOR, CONFIG, NOW_MS, Bench, Chain, reading
from structlog.testing import capture_logs

from collector.config import Config
from collector.faults import ConfigFileError, DurabilityError, StoreGoneError, StoreVersionError
from collector.keys import WorkerKeys
from collector.place import Place
from collector.store.opening import open_store
from collector.store.sqlite import SqliteStore
from collector.verify import Message
from collector.worker import Worker, read_trust
from protocols.uplink import topics, trust
from protocols.uplink.batch import Batch
from protocols.uplink.keys import SigningKey
from protocols.uplink.trust import Trust


def _config(folder: Path) -> Config:
    return Config(COLLECTOR, folder / "store", folder, "localhost", 8883, None, 604_800, 64, 50, 100)


def _trust(bench: Bench, seal: SigningKey, key: SigningKey, collector: str = COLLECTOR) -> Trust:
    ack, box = bench.ack.public, bench.box.public
    return Trust(1, collector, None, (), (), ack, None, seal.public, (box,), (key.public,), (1,))


def _worker(bench: Bench, folder: Path) -> Worker:
    seal = SigningKey.generate()
    own = WorkerKeys(bench.ack, seal, bench.box)
    return Worker(_config(folder), own, _trust(bench, seal, SigningKey.generate()), bench.store)


def _message(bench: Bench, batch: Batch) -> Message:
    return Message(topics.parse(topics.up(batch.header.gateway, "batch")), bench.packet(batch), NOW_MS)


def test_at_its_start_every_known_gateway_is_owed_a_word(bench: Bench, tmp_path: Path) -> None:
    """They resume at once, without waiting for their next hello."""
    worker = _worker(bench, tmp_path)
    worker.start(NOW_MS)
    worker.greet(lambda _: True)
    assert [each.gateway for each in worker.words(NOW_MS, 5_000)] == ["house-1", "house-2"]


def test_a_gateway_that_is_registered_meanwhile_is_heard(bench: Bench, place: Place, tmp_path: Path) -> None:
    """The operator's command writes into the store; the running worker sees it."""
    worker = _worker(bench, tmp_path)
    worker.start(NOW_MS)
    chain = Chain("house-3", 3)
    worker.take([_message(bench, chain.seal([reading(1)]))], NOW_MS)
    assert bench.rows() == 0
    other = open_store(place)
    with other.transaction():
        other.gateways.add(chain.name, chain.box.public, chain.key.public, NOW_MS)
        other.gateways.approve(chain.name, CONFIG, NOW_MS)
    other.close()
    worker.take([_message(bench, chain.seal([reading(2)]))], NOW_MS)
    assert bench.rows() == 1
    assert [each.gateway for each in worker.words(NOW_MS, 5_000)] == ["house-3"]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_full_store_is_said_once_and_its_recovery_once(bench: Bench, tmp_path: Path) -> None:
    """C06: nothing is acknowledged, it keeps running, and goes on when there is room."""
    worker = _worker(bench, tmp_path)
    worker.start(NOW_MS)
    sql = bench.store._connection
    pages = sql.execute("PRAGMA page_count").fetchone()[0]
    sql.execute(f"PRAGMA max_page_count={pages}")
    large = _message(bench, bench.chain.seal([reading(slot, meter) for slot in range(40) for meter in range(40)]))
    with capture_logs() as said:
        for _ in range(3):
            worker.take([large], NOW_MS)
            assert worker.words(NOW_MS, 5_000) == []
        sql.execute("PRAGMA max_page_count=1000000")
        worker.take([large], NOW_MS)
        assert len(worker.words(NOW_MS, 5_000)) == 1
    assert [each["log_level"] for each in said] == ["error", "info"]


def test_an_incident_is_said_once(bench: Bench, tmp_path: Path) -> None:
    """One case, one line."""
    worker = _worker(bench, tmp_path)
    chain = bench.chain
    chain.config = bytes(32)
    with capture_logs() as said:
        for _ in range(3):
            worker.take([_message(bench, chain.seal())], NOW_MS)
    assert [each["kind"] for each in said] == ["config"]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_store_that_promises_less_acknowledges_nothing(bench: Bench, tmp_path: Path) -> None:
    """synchronous=NORMAL loses acknowledged commits in a power cut: it does not start."""
    bench.store._connection.execute("PRAGMA synchronous=NORMAL")
    with pytest.raises(DurabilityError, match="2 \\(FULL\\)"):
        _worker(bench, tmp_path).start(NOW_MS)


def test_a_file_that_is_no_store_of_ours_is_left_alone(tmp_path: Path) -> None:
    """Another program's database, another version, or noise."""
    (tmp_path / "noise").write_bytes(b"x" * 5_000)
    with pytest.raises(StoreVersionError):
        SqliteStore.open(tmp_path / "noise")
    store = SqliteStore.open(tmp_path / "newer")
    store._connection.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(StoreVersionError, match="99"):
        SqliteStore.open(tmp_path / "newer")


def test_a_trust_document_for_other_keys_is_refused(bench: Bench, tmp_path: Path) -> None:
    """A worker whose keys the gateways do not know would acknowledge in vain."""
    seal, key = SigningKey.generate(), SigningKey.generate()
    config = _config(tmp_path)
    own = WorkerKeys(bench.ack, seal, bench.box)
    for document, fits in (
        (_trust(bench, seal, key), True),
        (_trust(bench, key, key), False),
        (_trust(bench, seal, key, "another"), False),
    ):
        (tmp_path / "trust.plomba").write_bytes(trust.sign(document, [key]))
        if fits:
            assert read_trust(config, own) == document
        else:
            with pytest.raises(ConfigFileError):
                read_trust(config, own)


def test_the_journal_shows_an_altered_line(bench: Bench) -> None:
    """R22: a line taken out or changed breaks the chain at its place."""
    with bench.store.transaction():
        for number in range(4):
            bench.store.cases.write(f"line {number}", NOW_MS)
    assert bench.store.cases.first_bad_line() is None
    bench.store._connection.execute("UPDATE journal SET what = 'other' WHERE n = 3")
    assert bench.store.cases.first_bad_line() == 3
    bench.store._connection.execute("DELETE FROM journal WHERE n = 2")
    assert bench.store.cases.first_bad_line() == 2


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_store_that_was_removed_or_replaced_takes_nothing(bench: Bench, tmp_path: Path) -> None:
    """Commits into a file that nobody can find again would be acknowledged and gone."""
    path, aside = tmp_path / "collector.sqlite3", tmp_path / "aside"
    first = bench.chain.seal()
    path.rename(aside)
    with pytest.raises(StoreGoneError):
        bench.take(first)
    path.write_bytes(aside.read_bytes())
    with pytest.raises(StoreGoneError):
        bench.take(first)
    aside.replace(path)
    assert bench.take(first).stored == 1
