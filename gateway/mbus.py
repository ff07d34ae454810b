"""From the telegrams of one M-Bus answer to the readings that are sealed: pure."""

from __future__ import annotations

from collections.abc import Sequence

from protocols.mbus import telegram
from protocols.mbus.meaning import check_identity, meter_time, values
from protocols.reading import Exchange, How, Identity, Reading, Status, TimeQuality
from protocols.transports.exchange import Answer
from protocols.uplink import limits


def readings(
    answers: Sequence[Answer], device: str, expected: Identity, slot_ms: int, quality: TimeQuality, keep: bool
) -> list[Reading]:
    """The reading in `answers` (at least one), in parts of at most 64 values.

    The exchange's telegram are the frames one after the other; its middle is that of first question and last answer.

    Raises:
        MeterError: not decodable, or of another meter than `expected`.
    """
    decoded = [telegram.decode(answer.frame) for answer in answers]
    identity = decoded[0].identity
    for each in decoded:
        check_identity(each.identity, expected)
    exchange = _exchange(answers, quality, keep)
    found = values(*decoded)
    status = Status.NONE
    for each in decoded:
        status |= each.status | (Status.PARTIAL if each.partial else Status.NONE)
    shown = meter_time(*decoded)
    parts = [found[at : at + limits.REGISTERS] for at in range(0, len(found), limits.REGISTERS)] or [()]
    return [
        Reading(
            identity,
            device,
            None,
            How.READ,
            slot_ms,
            shown,
            exchange,
            decoded[0].status_raw,
            status,
            part,
            number,
        )
        for number, part in enumerate(parts)
    ]


def _exchange(answers: Sequence[Answer], quality: TimeQuality, keep: bool) -> Exchange:
    first, last = answers[0], answers[-1]
    octets = b"".join(answer.frame.octets for answer in answers)
    trip_ms = last.mono_ms - first.mono_ms + (first.round_trip_ms + last.round_trip_ms) // 2
    middle = (last.mono_ms - first.mono_ms) // 2
    uncertainty = None if quality.uncertainty_ms is None else quality.uncertainty_ms + (trip_ms + 1) // 2
    shown = TimeQuality(quality.synchronised, uncertainty)
    return Exchange(first.at_ms + middle, first.mono_ms + middle, trip_ms, shown, octets, keep)
