"""Fuzz targets: what comes from an optical port before HDLC begins."""

from __future__ import annotations

from fuzz_meters import STEPS, joined, pieces
from fuzzing import Target, Work

from protocols.dlms.opening import (
    SPEEDS,
    Failed,
    Identification,
    Opened,
    Opening,
    Send,
    Switch,
    Wait,
    acknowledgement,
    request,
    with_parity,
    without_parity,
)
from protocols.errors import MeterError

MESSAGES = (b"/LGZ5\\2ZMD3104407.B32\r\n", b"/Iskr5\\@01\\2MT174-0001\r\n", b"/ESY6\\2\r\n", b"/EMHA VDEW\r\n")


def dlms_identification(octets: bytes) -> None:
    """With its parity and without; what holds is the same again."""
    plain, wrong = without_parity(with_parity(octets))
    assert not wrong
    assert without_parity(octets)[0] == plain
    found = Identification.from_bytes(plain)
    assert Identification.from_bytes(found.to_bytes()) == found
    assert found.quick in {True, False}
    letter, baud = found.baud(9_600)
    assert SPEEDS[letter] == baud <= 9_600


def dlms_opening(octets: bytes) -> None:
    """Each piece comes behind a message or a change of speed; what is empty or behind the last is silence."""
    said, held, found = pieces(octets), b"", Opening()
    for _ in range(STEPS):
        match step := found.next():
            case Send():
                held = next(said, b"")
            case Switch():
                found.was_set()
            case Wait() if held:
                found.received(held[:9])
                held = held[9:]
            case Wait():
                found.silent()
            case Opened():
                assert step.baud in SPEEDS.values()
                return
            case Failed():
                raise step.error
    raise AssertionError("the opening makes no progress")


TARGETS = (
    Target("dlms-identification", MESSAGES, dlms_identification, errors=MeterError, work=Work(2_000, 40)),
    Target(
        "dlms-opening",
        (
            joined(with_parity(MESSAGES[0]), with_parity(acknowledgement("5"))),
            joined(with_parity(request() + MESSAGES[1]), b""),
            joined(b"", MESSAGES[2], b"\x15"),
        ),
        dlms_opening,
        errors=MeterError,
        work=Work(20_000, 200),
    ),
)
