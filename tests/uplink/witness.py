"""A second reader of the uplink, written from docs/uplink.md alone: it shares no code with the product.

Its msgpack reader, tree, columns, leaves and boxes are its own; of libraries it takes only hashes, curves and AEAD.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256

Tree = None | bool | int | str | bytes | list["Tree"]


def read(octets: bytes) -> Tree:
    """One msgpack value."""
    value, rest = _value(octets)
    assert not rest, "bytes behind the value"
    return value


def _value(o: bytes) -> tuple[Tree, bytes]:  # noqa: PLR0911 - one return for each family of the format
    first, rest = o[0], o[1:]
    if first <= 0x7F:
        return first, rest
    if first >= 0xE0:
        return first - 256, rest
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], rest
    if 0x90 <= first <= 0x9F:
        return _array(first & 15, rest)
    if 0xA0 <= first <= 0xBF:
        return rest[: first & 31].decode(), rest[first & 31 :]
    size = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}.get(first)
    if size is not None:
        count, rest = int.from_bytes(rest[:size], "big"), rest[size:]
        if first >= 0xDC:
            return _array(count, rest)
        return (rest[:count] if first <= 0xC6 else rest[:count].decode()), rest[count:]
    wide = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}[first]
    return int.from_bytes(rest[:wide], "big", signed=first >= 0xD0), rest[wide:]


def _array(count: int, rest: bytes) -> tuple[list[Tree], bytes]:
    found = []
    for _ in range(count):
        value, rest = _value(rest)
        found.append(value)
    return found, rest


def write(value: Tree | tuple[Tree, ...]) -> bytes:
    """One msgpack value in its shortest form."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, bytes):
        return _head(len(value), None, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, str):
        coded = value.encode()
        return (bytes([0xA0 + len(coded)]) if len(coded) < 32 else _head(len(coded), None, (0xD9, 0xDA, 0xDB))) + coded
    head = bytes([0x90 + len(value)]) if len(value) < 16 else _head(len(value), 2, (0, 0xDC, 0xDD))
    return head + b"".join(write(each) for each in value)


def _head(count: int, least: int | None, marks: tuple[int, int, int]) -> bytes:
    for mark, size in zip(marks, (1, 2, 4), strict=True):
        if count < 256**size and (least is None or size >= least):
            return bytes([mark]) + count.to_bytes(size, "big")
    raise AssertionError(count)


def _integer(value: int) -> bytes:
    if -32 <= value <= 127:
        return bytes([value & 255])
    marks = ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)) if value > 0 else ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))
    for mark, size in marks:
        if (0 < value < 256**size) or (value < 0 and -value <= 256**size // 2):
            return bytes([mark]) + value.to_bytes(size, "big", signed=value < 0)
    raise AssertionError(value)


def verify(algorithm: int, public: bytes, kind: str, header: bytes, signature: bytes) -> None:
    """Check a signature; raises what the library raises."""
    message = b"plomba/1/" + kind.encode() + b"\x00" + header
    if algorithm == 1:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


class Opening(NamedTuple):
    """The encapsulated key, and the key and nonce that follow from it."""

    enc: bytes
    key: bytes
    nonce: bytes


def open_box(private: bytes, box: bytes, info: bytes) -> bytes:
    """RFC 9180 base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, by its own key schedule."""
    secret_key = x25519.X25519PrivateKey.from_private_bytes(private)
    enc, sealed = box[:32], box[32:]
    shared = secret_key.exchange(x25519.X25519PublicKey.from_public_bytes(enc))
    key, nonce = _schedule(shared, enc + secret_key.public_key().public_bytes_raw(), info)
    return ChaCha20Poly1305(key).decrypt(nonce, sealed, None)


def seal_box(to: Opening, plain: bytes) -> bytes:
    """What `open_box` opens; two boxes of one opening use one nonce, which only a bench may do."""
    return to.enc + ChaCha20Poly1305(to.key).encrypt(to.nonce, plain, None)


def opening(ephemeral: bytes, public: bytes, info: bytes) -> Opening:
    """How boxes begin with an ephemeral key that is given."""
    ephemeral_key = x25519.X25519PrivateKey.from_private_bytes(ephemeral)
    enc = ephemeral_key.public_key().public_bytes_raw()
    shared = ephemeral_key.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    return Opening(enc, *_schedule(shared, enc + public, info))


def _schedule(shared: bytes, context: bytes, info: bytes) -> tuple[bytes, bytes]:
    suite = b"KEM" + bytes.fromhex("0020")
    secret = _expand(suite, _extract(suite, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    suite = b"HPKE" + bytes.fromhex("002000010003")
    hashes = _extract(suite, b"", b"psk_id_hash", b"") + _extract(suite, b"", b"info_hash", info)
    schedule = b"\x00" + hashes
    prk = _extract(suite, secret, b"secret", b"")
    return _expand(suite, prk, b"key", schedule, 32), _expand(suite, prk, b"base_nonce", schedule, 12)


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:length]


def tree(leaves: list[bytes]) -> bytes:
    """The root by RFC 9162's own recursive definition."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:half]) + tree(leaves[half:])).digest()


def path(leaves: list[bytes], index: int) -> list[bytes]:
    """The inclusion path by RFC 9162's own recursive definition."""
    if len(leaves) == 1:
        return []
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    if index < half:
        return [*path(leaves[:half], index), tree(leaves[half:])]
    return [*path(leaves[half:], index - half), tree(leaves[:half])]


def salts(secret: bytes, count: int) -> list[bytes]:
    """The salts of `count` leaves."""
    stream = hashlib.shake_256(b"plomba/1/salt" + secret).digest(16 * count)
    return [stream[16 * i : 16 * i + 16] for i in range(count)]


def leaf_hash(salt: bytes, leaf: bytes) -> bytes:
    """The hash of a salted leaf."""
    return hashlib.sha256(b"\x00" + write([salt, leaf])).digest()


def leaves(body: bytes) -> list[bytes]:
    """The leaves of a body, in order."""
    content = read(body)
    assert isinstance(content, list)
    _, sources, exchanges, blocks, events, _ = content
    found = [write(leaf) for block in _list(blocks) for leaf in _block(_list(block), _list(sources), _list(exchanges))]
    return found + [write(event) for event in _list(events)]


def _list(value: Tree) -> list[Tree]:
    assert isinstance(value, list)
    return value


def _column(value: Tree) -> list[int]:
    form, *numbers = (each for each in _list(value) if isinstance(each, int))
    steps = numbers if form == 0 else [d for d, n in zip(numbers[::2], numbers[1::2], strict=True) for _ in range(n)]
    total, found = 0, []
    for step in steps:
        total += step
        found.append(total)
    return found


def _where(flags: Tree, *columns: Tree) -> list[list[int] | None]:
    """For each flag None, or one integer of each column."""
    rows = zip(*(_column(each) for each in columns), strict=True)
    return [list(next(rows)) if flag else None for flag in _column(flags)]


def _first(row: list[int] | None) -> int | None:
    return None if row is None else row[0]


def _block(block: list[Tree], sources: list[Tree], exchanges: list[Tree]) -> Iterator[list[Tree]]:
    index, count = block[0], block[1]
    assert isinstance(index, int)
    assert isinstance(count, int)
    identity, device, sub, registers = _list(sources[index])
    at, mono, trip, synced, uncertain = (_column(each) for each in exchanges[1:6])
    hashes = exchanges[6]
    assert isinstance(hashes, bytes)
    used, how, part, status = (_column(block[i]) for i in (2, 3, 4, 12))
    slot, shown, raw = _where(block[5], block[6]), _where(block[7], block[8], block[9]), _where(block[10], block[11])
    values = [_register(_list(r), _list(c)) for r, c in zip(_list(registers), _list(block[13]), strict=True)]
    for row in range(count):
        e = used[row]
        time: Tree = None if shown[row] is None else [*(shown[row] or [])]
        yield [
            *(0, identity, device, sub, how[row], _first(slot[row]), time, at[e], mono[e], trip[e], synced[e]),
            None if uncertain[e] == -1 else uncertain[e],
            hashes[32 * e : 32 * e + 32],
            _first(raw[row]),
            status[row],
            part[row],
            [column[row] for column in values if column[row] is not None],
        ]


def _register(register: list[Tree], column: list[Tree]) -> list[Tree]:
    kinds, states = _column(column[0]), iter(_column(column[1]))
    numbers, scales, others = iter(_column(column[2])), iter(_column(column[3])), iter(_list(column[4]))
    status, time = iter(_where(column[5], column[6])), iter(_where(column[7], column[8], column[9]))
    found: list[Tree] = []
    for kind in kinds:
        if kind == 0:
            found.append(None)
            continue
        number: list[Tree] = [next(others), None] if kind in (3, 5) else [next(numbers), next(scales)]
        own = next(time)
        shown: Tree = None if own is None else [*own]
        found.append([*register, kind, *number, next(states), _first(next(status)), shown])
    return found
