"""Bodies that are correctly signed and cannot be decoded: kept as evidence, blocking nobody, decoded when we can."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from chain import Bench, Chain, reading

from protocols.uplink import batch as batches
from protocols.uplink import body as bodies
from protocols.uplink import limits
from protocols.uplink.batch import Batch
from protocols.uplink.header import Header
from protocols.uplink.pack import pack, unpack

SECRET = bytes(range(32))


def _good() -> bytes:
    return bodies.encode([reading(77), reading(78)], [], SECRET)


def _changed(change: Callable[[list[object]], None]) -> bytes:
    """A good body with one thing in it changed."""
    wire = unpack(_good(), limits.BODY, "body")
    assert isinstance(wire, list)
    change(wire)  # type: ignore[arg-type]
    return pack(wire)


def _set(*path: int, to: object) -> Callable[[list[object]], None]:
    """Put `to` where `path` leads."""

    def change(wire: list[object]) -> None:
        inner: list[object] = wire
        for step in path[:-1]:
            found = inner[step]
            assert isinstance(found, list)
            inner = found
        inner[path[-1]] = to

    return change


_BODIES: dict[str, Callable[[], bytes]] = {
    "empty array": lambda: pack([]),
    "no msgpack": lambda: b"\xc1",
    "trailing bytes": lambda: _good() + b"\x00",
    "a map": lambda: b"\x81\x01\x02",
    "a float": lambda: b"\xcb" + bytes(8),
    "a long form": lambda: b"\xcd\x00\x01",
    "too deep": lambda: b"\x91" * 40 + b"\x01",
    "short secret": lambda: _changed(_set(0, to=b"short")),
    "secret is text": lambda: _changed(_set(0, to="secret")),
    "sources is a number": lambda: _changed(_set(1, to=5)),
    "no sources": lambda: _changed(_set(1, to=[])),
    "a source is nil": lambda: _changed(_set(1, 0, to=None)),
    "exchanges are empty": lambda: _changed(_set(2, to=[])),
    "blocks is nil": lambda: _changed(_set(3, to=None)),
    "a block of nothing": lambda: _changed(_set(3, 0, to=[])),
    "a count too high": lambda: _changed(_set(3, 0, 1, to=4_096)),
    "a count too low": lambda: _changed(_set(3, 0, 1, to=1)),
    "a source that is not there": lambda: _changed(_set(3, 0, 0, to=9)),
    "events hold a number": lambda: _changed(_set(4, to=[5])),
    "an event without fields": lambda: _changed(_set(4, to=[[1]])),
    "a telegram of no exchange": lambda: _changed(_set(5, to=[[99, b"x"]])),
    "a telegram with another hash": lambda: _changed(_set(5, to=[[0, b"x"]])),
}


@pytest.mark.parametrize("name", _BODIES)
def test_poison_is_kept_as_undecoded_evidence_and_its_neighbours_are_stored(bench: Bench, name: str) -> None:
    """Stored, acknowledged, shown with a code, and it blocks nobody."""
    first = bench.chain.seal([reading(1)])
    poison = bench.chain.seal_body(_BODIES[name](), leaves=2)
    last = bench.chain.seal([reading(2)])
    outcome = bench.take(first, poison, last)
    assert (outcome.stored, outcome.undecoded, bench.rows()) == (3, 1, 2)
    word = bench.word(outcome)
    assert [(each.first, each.last, each.id) for each in word.stored] == [(1, 3, last.id)]
    row = bench.store.evidence.find(poison.id)
    assert row is not None
    assert row.state == "undecoded"
    assert row.fault is not None
    assert row.fault.startswith("PLB-P") or row.fault.startswith("PLB-X")


def _sealed_as(chain: Chain, **changes: object) -> Batch:
    """A batch whose body is good, sealed with a header that says something else of it."""
    root = bodies.expand(_good()).root()
    return chain.seal_body(_good(), **({"leaves": 2, "root": root} | changes))  # type: ignore[arg-type]


def test_a_wrong_root_is_undecoded_and_opens_a_case(bench: Bench) -> None:
    """Leaves that do not have the root that was signed are never used, and an operator is told."""
    outcome = bench.take(_sealed_as(bench.chain, root=bytes(32)))
    assert outcome.undecoded == 1
    assert [each.kind for each in outcome.opened] == ["root"]
    assert bench.take(_sealed_as(bench.chain, root=bytes(32))).opened == []
    assert bench.rows() == 0


def test_a_future_version_is_decoded_after_the_upgrade(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old collector keeps and acknowledges it; a new one decodes it at its start, once."""
    outcome = bench.take(_sealed_as(bench.chain, version=2), bench.chain.seal([reading(1)]))
    assert (outcome.undecoded, bench.rows()) == (1, 1)
    assert len(bench.word(outcome).stored) == 1
    expand = batches.expand

    def newer(header: Header, body: bytes) -> bodies.Expanded:
        known = Header.from_bytes(header.to_bytes())
        object.__setattr__(known, "version", limits.VERSION)
        return expand(known, body)

    monkeypatch.setattr(batches, "expand", newer)
    bench.restart()
    assert bench.ingest.retry(bench.now_ms).undecoded == 0
    assert bench.rows() == 3
    assert bench.ingest.retry(bench.now_ms).undecoded == 0
    assert bench.rows() == 3


def test_a_decoder_that_fails_unexpectedly_blocks_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours is poison too: kept, named, and decoded after the fix."""
    expand = batches.expand
    bad = bench.chain.seal([reading(1)])

    def buggy(header: Header, body: bytes) -> bodies.Expanded:
        if hashlib.sha256(body).digest() == bad.header.body_hash:
            raise ZeroDivisionError
        return expand(header, body)

    monkeypatch.setattr(batches, "expand", buggy)
    outcome = bench.take(bad, bench.chain.seal([reading(2)]))
    assert (outcome.stored, outcome.undecoded, bench.rows()) == (2, 1, 1)
    monkeypatch.undo()
    bench.ingest.retry(bench.now_ms)
    assert bench.rows() == 2
    assert bench.store.evidence.counts("house-1") == {"decoded": 2, "undecoded": 0}
