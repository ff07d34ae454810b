"""Must-refuse cases: bytes that break exactly one rule, the reader that they go to, and the code of the named error.

A case is `[reader, code, parts]`; the bytes are the parts `[hex, times]`, each repeated and all joined.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator

import msgpack
import samples as s

from protocols.uplink import batch as batches
from protocols.uplink import limits, proof
from protocols.uplink.pack import pack, unpack

Parts = list[tuple[str, int]]
Case = tuple[str, str, Parts]
Tree = list[object]

FORM, FIELD, LIMIT, COUNT, ROOT, VERSION = (f"PLB-P10{n}" for n in range(1, 7))
SIGNATURE, BODY_HASH, SIGNER = "PLB-X101", "PLB-X102", "PLB-X104"


def cases() -> dict[str, Case]:
    """All cases, by name."""
    found: dict[str, Case] = {}
    for group in (_form(), _header(), _body(), _columns(), _hello(), _ack(), _file()):
        for name, case in group:
            assert name not in found, name
            found[name] = case
    return found


def octets_of(parts: Parts) -> bytes:
    """The bytes of a case."""
    return b"".join(bytes.fromhex(digits) * times for digits, times in parts)


def _whole(octets: bytes) -> Parts:
    return [(octets.hex(), 1)]


def _form() -> Iterator[tuple[str, Case]]:
    for name, digits in {
        "a map": "80",
        "a float64": "cb3ff8000000000000",
        "a float32": "ca3fc00000",
        "an extension": "d40001",
        "a timestamp extension": "d6ff00000000",
        "an integer in two bytes that fits one": "cc01",
        "an integer in nine bytes that fits five": "cf00000000ffffffff",
        "a negative integer in a longer form": "d0ff",
        "an integer above int64": "cfffffffffffffffff",
        "a str8 that fits a fixstr": "d90161",
        "a bin16 that fits a bin8": "c5000161",
        "an array16 that fits a fixarray": "dc000101",
        "a str with NUL": "a16100"[:2] + "00",
        "a str that is not UTF-8": "a1ff",
        "a byte behind the value": "0101",
        "nothing": "",
        "an array cut short": "9201",
        "the reserved byte c1": "c1",
        "an array that claims 4 G elements": "ddffffffff",
        "a bin that claims 4 GiB": "c6ffffffff",
    }.items():
        yield f"form: {name}", ("form", FORM, [(digits, 1)])
    yield "form: 7 nested arrays", ("form", LIMIT, [("91", 6), ("90", 1)])
    yield "form: 500,000 nested arrays", ("form", FORM, [("91", 500_000), ("90", 1)])
    yield "form: 8,196 elements in an array", ("form", FORM, [("dc2004", 1), ("00", 8_196)])
    yield "form: one byte over the limit", ("form", LIMIT, [("c600100000", 1), ("00", limits.BODY - 4)])


def _changed(tree: list[object], path: tuple[int, ...], value: object) -> list[object]:
    copy = list(tree)
    head, *rest = path
    below = copy[head]
    copy[head] = _changed(below, tuple(rest), value) if rest and isinstance(below, list) else value
    return copy


def _tree(octets: bytes) -> list[object]:
    wire = unpack(octets, limits.BODY, "sample")
    assert isinstance(wire, list)
    return list(wire)


def _header() -> Iterator[tuple[str, Case]]:
    first, second = s.first_batch(), s.second_batch(s.first_batch())
    tree, later = _tree(first.content.header), _tree(second.content.header)
    for name, path, value, code in (
        ("version 0", (0,), 0, FIELD),
        ("version as text", (0,), "1", FIELD),
        ("version true", (0,), True, FIELD),
        ("gateway in capitals", (1,), "BOILER", "PLB-C101"),
        ("gateway of two letters", (1,), "ab", "PLB-C101"),
        ("gateway of 33 letters", (1,), "a" * 33, "PLB-C101"),
        ("gateway with a slash", (1,), "a/../b", "PLB-C101"),
        ("key of 7 bytes", (2,), b"1234567", FIELD),
        ("epoch of 15 bytes", (3,), b"e" * 15, FIELD),
        ("seq 0", (4,), 0, FIELD),
        ("prev of 31 bytes", (5,), b"p" * 31, FIELD),
        ("seq 1 with parent and without prev", (5,), None, FIELD),
        ("seq 1 with prev and without parent", (6,), None, FIELD),
        ("parent with sequence 0", (6, 1), 0, FIELD),
        ("created in 1999", (7,), limits.PAST_MS - 1, FIELD),
        ("created in 2100", (7,), limits.FUTURE_MS, FIELD),
        ("clock of 6 elements", (8,), [1, 1, 0, None, None, b"b" * 16], FIELD),
        ("clock state 3", (8, 0), 3, FIELD),
        ("core hash of 31 bytes", (9, 1), b"c" * 31, FIELD),
        ("config of 33 bytes", (10,), b"c" * 33, FIELD),
        ("no leaves", (11,), 0, FIELD),
        ("4,097 leaves", (11,), limits.LEAVES + 1, FIELD),
        ("root of 31 bytes", (12,), b"r" * 31, FIELD),
        ("an empty body", (13,), 0, FIELD),
        ("a body of 1 MiB and a byte", (13,), limits.BODY + 1, FIELD),
        ("body hash of 31 bytes", (14,), b"h" * 31, FIELD),
    ):
        yield f"header: {name}", ("header", code, _whole(pack(_changed(tree, path, value))))
    yield "header: 14 elements", ("header", FIELD, _whole(pack(tree[:14])))
    yield "header: not an array", ("header", FIELD, _whole(pack("header")))
    yield "header: over 4 KiB", ("header", LIMIT, _whole(pack([*tree, b"x" * limits.BATCH_HEADER])))
    yield "header: seq 2 without prev", ("header", FIELD, _whole(pack(_changed(later, (5,), None))))
    parent: object = [b"e" * 16, 1]
    yield "header: seq 2 with a parent", ("header", FIELD, _whole(pack(_changed(later, (6,), parent))))


def _sample_body() -> list[object]:
    batch = s.first_batch()
    return _tree(batches.verify(batch, s.SEALING.public))


def _body() -> Iterator[tuple[str, Case]]:
    body = _sample_body()
    exchanges, blocks = 2, 3
    rows = 0
    for name, path, value, code in (
        ("secret of 31 bytes", (0,), b"s" * 31, FIELD),
        ("protocol 9", (1, 0, 0, 0), 9, FIELD),
        ("an identity of 8 elements", (1, 0, 0), [1, None, None, None, None, None, None, None], FIELD),
        ("a device name of 129 bytes", (1, 0, 1), "d" * 129, LIMIT),
        ("a unit of 33 bytes", (1, 0, 3, 0, 1), "u" * 33, LIMIT),
        ("a key without parts", (1, 0, 3, 0, 0), [1], LIMIT),
        ("one exchange fewer than declared", (exchanges, rows), 4, COUNT),
        ("one exchange more than declared", (exchanges, rows), 6, COUNT),
        ("4,097 exchanges", (exchanges, rows), limits.LEAVES + 1, FIELD),
        ("hashes one byte short", (exchanges, 6), b"h" * 159, COUNT),
        ("an exchange in 1999", (exchanges, 1), [0, limits.PAST_MS - 1, 0, 0, 0, 0], FIELD),
        ("a block of a source that is not there", (blocks, 0, 0), 9, FIELD),
        ("a block of no rows", (blocks, 0, 1), 0, FIELD),
        ("a block of 4,097 rows", (blocks, 0, 1), 4_097, FIELD),
        ("a row of an exchange that is not there", (blocks, 0, 2), [0, 9, 0, 0], FIELD),
        ("how 5", (blocks, 0, 3), [1, 5, 1, 0, 2], FIELD),
        ("a column of one row fewer", (blocks, 0, 4), [0, 0, 0], COUNT),
        ("a column of one row more", (blocks, 0, 4), [0, 0, 0, 0, 0], COUNT),
        ("a mapped status of nine bits", (blocks, 0, 12), [1, 256, 1, 0, 2], FIELD),
        ("a register column missing", (blocks, 0, 13), [], COUNT),
        ("a kind of number 6", (blocks, 0, 13, 0, 0), [1, 6, 1, 0, 2], FIELD),
        ("a state 5", (blocks, 0, 13, 0, 1), [1, 5, 1, 0, 2], FIELD),
        ("an exponent of 13", (blocks, 0, 13, 0, 3), [1, 13, 1, 0, 2], FIELD),
        ("an exponent of -13", (blocks, 0, 13, 0, 3), [1, -13, 1, 0, 2], FIELD),
        ("a number of too few rows", (blocks, 0, 13, 0, 2), [0, 1, 1], COUNT),
        ("a text where there is none", (blocks, 0, 13, 0, 4), ["x"], COUNT),
        ("a meter time before 2000", (blocks, 0, 8), [1, -1, 1, 0, 2], FIELD),
        ("a meter time in 2100", (blocks, 0, 8), [1, limits.METER_SECONDS, 1, 0, 2], FIELD),
        ("a meter time without precision", (blocks, 0, 9), [1, 4, 1, 0, 2], FIELD),
        ("a record of kind 0", (4, 0, 0), 0, FIELD),
        ("a lost record that ends before it begins", (4, 3, 7), 2, FIELD),
        ("an unsealed record whose leaf is none", (4, 5, 5), b"\x90", FIELD),
        ("a telegram of an exchange that is not there", (5, 0, 0), 99, FIELD),
        ("a telegram that is not the one that was hashed", (5, 0, 1), b"another telegram", BODY_HASH),
        ("no leaf at all", (blocks,), [], "PLB-P104"),
    ):
        changed = _changed(body, path, value)
        if name == "no leaf at all":
            changed[4] = []
        yield f"body: {name}", ("body", code, _whole(pack(changed)))
    yield "body: a float32 of 33 bits", ("body", FIELD, _whole(pack(_changed(body, (3, 1, 13, 1, 2), [0, 2**32, 0]))))
    yield "body: a text of 129 bytes", ("body", LIMIT, _whole(pack(_changed(body, (3, 1, 13, 2, 4), ["é" * 65, "x"]))))
    yield (
        "body: raw octets of 257 bytes",
        ("body", LIMIT, _whole(pack(_changed(body, (3, 1, 13, 3, 4), [b"r" * 257] * 2)))),
    )
    yield from _bombs(body)


def _bombs(body: list[object]) -> Iterator[tuple[str, Case]]:
    sources, blocks = body[1], body[3]
    assert isinstance(sources, list)
    assert isinstance(blocks, list)
    register: object = [[1, b"\x06", 0, 0, 0, 0, 0], "Wh"]
    wide = _changed(body, (1,), [[sources[0][0], "bomb", None, [register] * 65]])
    column: object = [1, 0, 4_096]
    empty: Tree = [column, [0], [0], [0], [], [0], [0], [0], [0], [0]]
    block: Tree = [0, 4_096, *[column] * 3, column, [0], column, [0], [0], column, [0], column, [empty] * 65]
    wide[3], wide[4], wide[5] = [block], [], []
    yield "body: 4,096 rows of 65 absent registers", ("body", LIMIT, _whole(pack(wide)))
    many = pack(_changed(body, (3,), [blocks[0]] * 1_500))
    before, after = pack(body[0:3])[1:], pack(body[4:])[1:]
    parts = [("96" + before.hex() + "dc05dc", 1), (pack(blocks[0]).hex(), 1_500), (after.hex(), 1)]
    assert octets_of(parts) == many
    yield "body: more rows than leaves", ("body", LIMIT, parts)
    one: Tree = [[1, 1, 1], [0, 0], [0, 1], [0, 0], [], [0, 0], [0], [0, 0], [0], [0]]
    row: Tree = [0, 1, [0, 0], [0, 0], [0, 0], [0, 0], [0], [0, 0], [0], [0], [0, 0], [0], [0, 0], [one] * 65]
    full = _changed(wide, (3,), [row])
    yield "body: 65 registers in a leaf", ("body", LIMIT, _whole(pack(full)))


def _columns() -> Iterator[tuple[str, Case]]:
    """Columns are read as one of 3 rows."""
    for name, column, code in (
        ("empty", [], FIELD),
        ("a form that is not there", [2, 1, 3], FIELD),
        ("not integers", [0, "1", "2", "3"], FIELD),
        ("a bool", [0, True, 0, 0], FIELD),
        ("one row too few", [0, 1, 1], COUNT),
        ("one row too many", [0, 1, 1, 1, 1], COUNT),
        ("runs of one row too few", [1, 5, 2], COUNT),
        ("runs of one row too many", [1, 5, 4], COUNT),
        ("a run of no rows", [1, 5, 0, 1, 3], COUNT),
        ("a negative run", [1, 5, -1, 1, 4], COUNT),
        ("a run of 2^62 rows", [1, 5, 2**62], COUNT),
        ("half a pair", [1, 5, 3, 1], FIELD),
        ("a sum above int64", [0, limits.INT64_MAX, 1, 0], LIMIT),
        ("a sum below int64", [0, limits.INT64_MIN, -1, 0], LIMIT),
    ):
        yield f"column of 3: {name}", ("column", code, _whole(pack(column)))


def _messages() -> tuple[list[object], list[object]]:
    import make_vectors  # noqa: PLC0415 - it imports this file

    first = s.first_batch()
    second = s.second_batch(first)
    ack = make_vectors.acknowledgement(first, second)
    return _tree(make_vectors.hello(first, second, None).to_bytes()), _tree(ack.to_bytes())


def _hello() -> Iterator[tuple[str, Case]]:
    hello, _ = _messages()
    reach: object = [s.epoch("a"), 1, 2, s.digest("x")]
    for name, path, value, code in (
        ("a nonce of 15 bytes", (3,), b"n" * 15, FIELD),
        ("65 ranges", (4,), [reach] * 65, LIMIT),
        ("a range that ends before it begins", (4, 0, 1), 99, FIELD),
        ("a range from 0", (4, 0, 1), 0, FIELD),
        ("a range without an id", (4, 0, 3), None, FIELD),
        ("a last acknowledgement without a signature", (5,), [b"header"], FIELD),
        ("17 versions", (7,), [1] * 17, LIMIT),
        ("a negative trust number", (6,), -1, FIELD),
    ):
        yield f"hello: {name}", ("hello", code, _whole(pack(_changed(hello, path, value))))
    yield "hello: over 24 KiB", ("hello", LIMIT, _whole(pack([*hello, b"x" * limits.HELLO_HEADER])))


def _ack() -> Iterator[tuple[str, Case]]:
    _, ack = _messages()
    reach: object = [s.epoch("a"), 1, 2, s.digest("x")]
    refusal: object = [s.epoch("a"), 1, s.digest("x"), "revoked"]
    for name, path, value, code in (
        ("generation 0", (2,), 0, FIELD),
        ("number 0", (3,), 0, FIELD),
        ("a nonce of 17 bytes", (4,), b"n" * 17, FIELD),
        ("a time in 1970", (5,), 5, FIELD),
        ("65 stored ranges", (6,), [reach] * 65, LIMIT),
        ("65 safe ranges", (7,), [reach] * 65, LIMIT),
        ("17 refusals", (8,), [refusal] * 17, LIMIT),
        ("a window of 0", (9,), 0, FIELD),
        ("an audit head of 31 bytes", (12,), b"a" * 31, FIELD),
    ):
        yield f"ack: {name}", ("ack", code, _whole(pack(_changed(ack, path, value))))
    yield "ack: over 12 KiB", ("ack", LIMIT, _whole(pack([*ack, b"x" * limits.ACK_HEADER])))


def _resealed(change: Callable[[Tree, bytes], bytes]) -> bytes:
    """A batch file whose header was changed and signed again, as a faulty gateway would."""
    batch = s.first_batch()
    tree, body = _tree(batch.content.header), batches.verify(batch, s.SEALING.public)
    body = change(tree, body)
    header = pack(tree)
    return pack([proof.BATCH, header, s.SEALING.sign(batches.KIND, header), body])


def _file() -> Iterator[tuple[str, Case]]:
    def setting(index: int, value: object) -> Callable[[Tree, bytes], bytes]:
        def change(tree: Tree, body: bytes) -> bytes:
            tree[index] = value
            return body

        return change

    def rebody(changed: bytes) -> Callable[[Tree, bytes], bytes]:
        def change(tree: Tree, body: bytes) -> bytes:
            tree[13], tree[14] = len(changed), hashlib.sha256(changed).digest()
            return changed

        return change

    yield "file: a signed header with another root", ("file", ROOT, _whole(_resealed(setting(12, s.digest("root")))))
    yield "file: a signed header with another count", ("file", COUNT, _whole(_resealed(setting(11, 10))))
    yield (
        "file: a signed header with another body hash",
        ("file", BODY_HASH, _whole(_resealed(setting(14, s.digest("b"))))),
    )
    yield "file: a signed header with another length", ("file", BODY_HASH, _whole(_resealed(setting(13, 5))))
    yield "file: a signed header of version 2", ("file", VERSION, _whole(_resealed(setting(0, 2))))
    yield "file: a signed header of another gateway", ("file", SIGNER, _whole(_resealed(setting(1, "boiler-room-8"))))
    yield "file: a signed header of an unknown key", ("file", SIGNER, _whole(_resealed(setting(2, b"12345678"))))
    yield "file: a signed body of nothing", ("file", FIELD, _whole(_resealed(rebody(pack(None)))))
    yield "file: a signed body with a float", ("file", FORM, _whole(_resealed(rebody(_with_float()))))
    batch = s.first_batch()
    forged = pack([proof.BATCH, batch.content.header, s.signing("another").sign("batch", batch.content.header), b"x"])
    yield "file: a signature by another key", ("file", SIGNATURE, _whole(forged))
    kind = pack([proof.BATCH, batch.content.header, s.SEALING.sign("hello", batch.content.header), b"x"])
    yield "file: a signature of another kind", ("file", SIGNATURE, _whole(kind))
    yield "file: an unknown form", ("file", FIELD, _whole(pack(["plomba/2/batch", b"", b"", b""])))
    yield "file: a node offered as a leaf", ("file", "PLB-X108", _whole(_node_as_leaf()))


def _with_float() -> bytes:
    body = _sample_body()
    octets: bytes = msgpack.packb([*body, 1.5], use_bin_type=True)
    return octets


def _node_as_leaf() -> bytes:
    """A proof whose path is one step too short: its leaf's hash is that of an inner node, salted or not."""
    batch = s.first_batch()
    expanded = batches.expand(batch.header, batches.verify(batch, s.SEALING.public))
    statement = proof.Statement(s.COLLECTOR, s.SEAL.public.id, s.GATEWAY, s.SEALING.public, batch.id, s.START_MS)
    tree = _tree(proof.export_proof(batch, expanded, 0, statement, s.SEAL))
    hashes = expanded.hashes()
    path = tree[6]
    assert isinstance(path, list)
    tree[4], tree[5], tree[6] = hashes[0][:16], hashes[0][16:] + hashes[1], path[1:]
    return pack(tree)


def deflated_bomb() -> bytes:
    """64 MiB of zeros, deflated: for the envelope's reader."""
    return zlib.compress(bytes(64 * 1024 * 1024), 9)
