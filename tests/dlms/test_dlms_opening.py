"""The opening of optical ports in mode E: messages, every answer that is none, and a whole one on a pseudo-terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dlms_lines import served

from protocols.dlms import opening as mode_e
from protocols.dlms.access import Access
from protocols.dlms.faults import Babble
from protocols.dlms.objects import DEVICE_ID, text_of
from protocols.dlms.opening import (
    STEPS,
    BadIdentification,
    Failed,
    Identification,
    NoIdentification,
    Opened,
    Opening,
    OpeningRefused,
    OtherMode,
    Send,
    SpeedUnknown,
    State,
    Switch,
    Wait,
    acknowledgement,
    request,
    with_parity,
    without_parity,
)
from protocols.dlms.timing import Timing
from protocols.errors import MeterError
from protocols.transports.dlms import associated_on
from protocols.transports.exchange import Clock
from protocols.transports.optical import NoSpeed, opened_in_mode_e
from protocols.transports.serial import SerialLine
from protocols.transports.tcp import TcpLine
from simulators.dlms.line import DlmsLine, line_plates

LGZ = Identification("LGZ", "5", "\\2", "ZMD3104407.B32")
IDENT = LGZ.to_bytes()
CONFIRMED = acknowledgement("5")


def driven(found: Opening, *answers: bytes, size: int = 1_000) -> tuple[list[bytes], list[int], Opened | MeterError]:
    """What was sent and which speeds were set; each answer follows a message or a change of speed, in pieces."""
    sent, speeds, left = [], [], list(answers)
    held: list[bytes] = []
    for _ in range(1_000):
        match step := found.next():
            case Send():
                sent.append(step.octets)
                if step.octets[:1] != b"\x06":
                    answer = left.pop(0) if left else b""
                    held = [answer[at : at + size] for at in range(0, len(answer), size)]
            case Switch():
                speeds.append(step.baud)
                answer = left.pop(0) if left and step.before_ms else b""
                held = [answer[at : at + size] for at in range(0, len(answer), size)]
                found.was_set()
            case Wait() if held:
                found.received(held.pop(0))
            case Wait():
                found.silent()
            case Opened():
                return sent, speeds, step
            case Failed():
                return sent, speeds, step.error
    raise AssertionError("no end")


def test_every_byte_has_even_parity_on_its_way() -> None:
    """The eighth bit makes the ones even; a port that clears it loses nothing."""
    octets = bytes(range(128))
    assert all(each.bit_count() % 2 == 0 for each in with_parity(octets))
    assert without_parity(with_parity(octets)) == (octets, 0)
    assert without_parity(octets) == (octets, 0)
    assert with_parity(request()).hex() == "af3f218d0a"
    assert without_parity(bytes.fromhex("af3fa18d0a")) == (b"/?!\r\n", 1)


@pytest.mark.parametrize("size", [1, 3, 1_000])
@pytest.mark.parametrize("echo", [False, True])
def test_a_meter_is_opened(size: int, echo: bool) -> None:
    """Asked at 300 baud, acknowledged, changed to 9600, confirmed; with and without the light in a mirror."""
    asked = with_parity(request())
    first = (asked if echo else b"") + with_parity(IDENT)
    sent, speeds, end = driven(Opening(), first, with_parity(CONFIRMED), size=size)
    assert sent == [asked, with_parity(b"\x06252\r\n")]
    assert speeds == [300, 9_600]
    assert end == Opened(LGZ, 9_600)


def test_a_meter_that_does_not_confirm_is_open_all_the_same() -> None:
    """And what is left over of the change of speed is no confirmation."""
    for answer in (b"", b"\xff\x00\xfe"):
        assert driven(Opening(), with_parity(IDENT), answer)[2] == Opened(LGZ, 9_600)


@pytest.mark.parametrize(("most", "baud"), [(300, 300), (4_800, 4_800), (115_200, 9_600)])
def test_no_speed_is_above_the_heads_or_the_meters(most: int, baud: int) -> None:
    """The acknowledgement names the one that both can."""
    sent, speeds, _ = driven(Opening(most=most), with_parity(IDENT))
    assert speeds == [300, baud]
    assert mode_e.SPEEDS[chr(without_parity(sent[1])[0][2])] == baud


def test_one_of_several_meters_is_asked_by_its_address() -> None:
    """As it stands on its plate; an address that cannot be is refused."""
    assert without_parity(driven(Opening("12345678"))[0][0])[0] == b"/?12345678!\r\n"
    with pytest.raises(ValueError, match="up to 32"):
        Opening("a!b")


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ((), NoIdentification, "none in time"),
        ((with_parity(request()), with_parity(request())), NoIdentification, "none in time"),
        ((with_parity(b"/LGZ5ZMD310\r\n"),), OtherMode, "mode C only"),
        ((with_parity(b"/LGZC\\@ZMD310\r\n"),), OtherMode, "mode B only"),
        ((with_parity(b"/LGZ ZMD310\r\n"),) * 2, BadIdentification, "a speed"),
        ((with_parity(b"/LGZ#ZMD310\r\n"),), OtherMode, "mode A only"),
        ((with_parity(b"/LGZ7\\2ZMD310\r\n"),), SpeedUnknown, "LGZ7"),
        ((with_parity(b"/LG\r\n"),) * 2, BadIdentification, "three letters"),
        ((with_parity(b"/LGZ5\\2ZMD"),) * 2, BadIdentification, "the beginning"),
        ((with_parity(IDENT)[:-4] + b"\x01" + with_parity(IDENT)[-3:],) * 2, BadIdentification, "parity"),
        ((with_parity(b"U" * 200),), Babble, "128"),
        ((with_parity(b"/" + b"U" * 200),), Babble, "128"),
        ((with_parity(IDENT), with_parity(b"\x15")), OpeningRefused, "NAK"),
        ((with_parity(IDENT), with_parity(b"\x06050\r\n")), OpeningRefused, "06303530"),
        ((with_parity(IDENT), with_parity(b"U" * 200)), Babble, "confirmation"),
    ],
)
def test_every_wrong_answer_has_its_name(answers: tuple[bytes, ...], error: type[MeterError], said: str) -> None:
    """What may be the line's fault is asked again; what the meter says is taken at its word."""
    sent, _, end = driven(Opening(), *answers)
    assert type(end) is error
    assert said in str(end)
    again = error in (NoIdentification, BadIdentification)
    assert sum(each == with_parity(request()) for each in sent) == 1 + again


def test_a_first_message_that_is_damaged_is_asked_for_again() -> None:
    """Noise before it is skipped."""
    end = driven(Opening(), b"\x00\xff/\r\n", b"\x00\xff" + with_parity(IDENT), with_parity(CONFIRMED))[2]
    assert end == Opened(LGZ, 9_600)


def test_every_state_but_the_last_ones_leads_somewhere() -> None:
    """The table has no dead end."""
    assert {state for state, _ in STEPS} == set(State) - {State.OPEN, State.FAILED}
    assert set(STEPS.values()) == set(State) - {State.STARTING}


@pytest.mark.parametrize("confirms", [True, False])
@pytest.mark.parametrize("faults", ["", "echo"])
async def test_a_meter_behind_a_head_is_read_twice(
    tmp_path: Path, clock: Clock, now: Any, confirms: bool, faults: str
) -> None:
    """At 300 baud, then at 9600; after the end of its link it is at 300 again."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [plate], now.utc_ms, faults, optical=LGZ, confirms=confirms) as line:
        port = SerialLine.open(str(line.pty.link), 9_600, "8N1")
        for _ in range(2 if confirms else 1):
            opened = await opened_in_mode_e(port, Opening())
            assert (opened.identification, opened.baud, line.pty.speed()) == (LGZ, 9_600, 9_600)
            timing = Timing(opened.baud, answer_ms=400)
            async with associated_on(port, Access(physical=17), clock, timing) as association:
                assert text_of((await association.get(DEVICE_ID)).data) == plate.serial
        port.close()


async def test_a_meter_of_mode_c_is_named_on_a_line(tmp_path: Path, clock: Clock, now: Any) -> None:
    """It says who it is, and that HDLC is none of its languages."""
    ident = Identification("LGZ", "5", "", "ZMD3104407.B32")
    async with served(tmp_path, line_plates(1), now.utc_ms, optical=ident) as line:
        assert isinstance(line, DlmsLine)
        port = SerialLine.open(str(line.pty.link), 9_600, "8N1")
        with pytest.raises(OtherMode, match="mode C only: 'LGZ5ZMD"):
            await opened_in_mode_e(port, Opening())
        port.close()


async def test_a_line_of_one_speed_cannot_be_opened() -> None:
    """TCP has no speed that we could change."""
    with pytest.raises(NoSpeed):
        await opened_in_mode_e(TcpLine.__new__(TcpLine), Opening())
