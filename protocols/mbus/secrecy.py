"""Whether records are in the clear although their telegram calls them encrypted.

Modes 5 and 7 of the configuration word (the former signature; EN 13757-7) count in bits 4-7 the blocks of 16 bytes that
are encrypted. Many wired meters send what stands there for radio and encrypt nothing, so the word alone decides
nothing: what decodes is taken. But of encrypted bytes, which are as good as random, one telegram in ten falls into
records that end, some of them with a number. So what claims whole encrypted blocks must also look like a meter's
answer, as 47 of 49 real ones do (the others have nothing but the manufacturer's data, or reserved codes); of random
bytes eleven in a thousand do with one block, four with two, one with three, and fewer with more.
"""

from __future__ import annotations

from protocols.mbus import vif
from protocols.mbus.dif import FILLER
from protocols.mbus.records import Record, Split
from protocols.reading import State

MODES = frozenset({5, 7})
BLOCK = 16  # bytes
# What a decrypted telegram begins with: a converter has done it.
DECRYPTED = bytes((FILLER, FILLER))
# More than any wired meter was seen to have.
MOST_STORAGES, MOST_TARIFFS, MOST_SUBUNITS = 1_024, 16, 16


def mode(word: int) -> int:
    """The encryption mode that a configuration word names; 0: none."""
    return word >> 8 & 0x1F


def hides(word: int, body: bytes, found: Split) -> bool:
    """Whether `body`, which was split into `found`, is encrypted under the configuration word `word`."""
    if mode(word) not in MODES:
        return False
    blocks = word >> 4 & 0x0F
    if not blocks or body.startswith(DECRYPTED):
        return False
    claimed = blocks * BLOCK <= len(body)
    return found.partial or (claimed and not _sounds_plain(body, found))


def _sounds_plain(body: bytes, found: Split) -> bool:
    """Half of the bytes are records, all of them are defined, and most have a value."""
    telling = sum(_tells(each) for each in found.records)
    records_only = 2 * len(found.manufacturer_data) <= len(body)
    return records_only and 2 * telling > len(found.records) and all(map(_is_sane, found.records))


def _tells(record: Record) -> bool:
    return record.state in (State.OK, State.RECURRING) or _is_own(record)


def _is_sane(record: Record) -> bool:
    info = record.info
    known = record.state is not State.UNKNOWN or _is_own(record)
    small = info.storage < MOST_STORAGES and info.tariff < MOST_TARIFFS and info.subunit < MOST_SUBUNITS
    return known and small and not record.meaning.failed


def _is_own(record: Record) -> bool:
    """Whether the manufacturer alone says what it is."""
    return any(piece[0] & ~vif.EXTENSION == vif.MANUFACTURER for piece in vif.pieces(record.vib))
