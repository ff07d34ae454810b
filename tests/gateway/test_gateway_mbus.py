"""From telegrams to sealed readings."""

from __future__ import annotations

from gateway_parts import GOOD

from gateway.mbus import readings
from protocols.mbus import link
from protocols.reading import Identity, Protocol, Reading, State, Status
from protocols.transports.exchange import Answer
from simulators.mbus import encoding
from simulators.mbus.meters import cellar, telegram

NOW_MS = 1_793_000_000_000


def answer(cut: int = 0) -> bytes:
    """The heat meter's telegram, its last `cut` bytes of records broken off before the checksum was made."""
    plate = cellar()[0]
    octets, _ = telegram(plate, plate.first, NOW_MS)
    return encoding.long_frame(plate.address, octets[6], octets[7 : len(octets) - 2 - cut])


def read(octets: bytes) -> list[Reading]:
    """What the gateway makes of one answer."""
    given = Answer(link.parse(octets), NOW_MS, 5, 400)
    return readings([given], "heat", Identity(Protocol.MBUS), NOW_MS, GOOD, keep=True)


def test_a_whole_answer_is_not_partial() -> None:
    (found,) = read(answer())
    assert not found.status & Status.PARTIAL
    assert len(found.values) == 19


def test_an_answer_that_broke_off_keeps_its_records_and_says_so() -> None:
    """FACTS: earlier records are kept, the telegram is partial, nothing of it is billed."""
    (found,) = read(answer(cut=3))
    assert found.status & Status.PARTIAL
    assert len(found.values) == 18
    assert all(value.state is not State.INVALID for value in found.values)


def test_an_answer_whose_last_telegram_says_that_more_follows_broke_off() -> None:
    """It is too long, or the meter repeats itself instead."""
    whole = answer()
    (found,) = read(encoding.long_frame(whole[5], whole[6], whole[7:-2] + b"\x1f"))
    assert found.status & Status.PARTIAL
    assert len(found.values) == 19
