"""Electricity meters on one pseudo-terminal, as on an RS-485 line: each hears all, and answers to its HDLC address.

The line has one speed at a time, the one that the master has set at its end of the terminal: a meter at another one
hears nothing. A terminal of this kind has no parity; what has it carries it in the eighth bit of each character.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from protocols.dlms import hdlc
from protocols.dlms.access import Access
from protocols.dlms.opening import Identification
from protocols.dlms.server import HdlcServer, Server
from simulators.curve import QUARTER_MS
from simulators.dlms.faults import Faults
from simulators.dlms.line_faults import FALSE_START, LineFaults, spoil
from simulators.dlms.meter import Meter
from simulators.dlms.optical import OpticalPort
from simulators.dlms.plates import Plate, plates
from simulators.mbus.line import PtyLine
from simulators.record import Record

GAP_S = 0.1  # of the client, after which a frame behind a false start is looked for
FIRST_PHYSICAL = 17
FRAME_SIZE = 512  # bytes of information
MAX_PDU = 8_192  # bytes: a day of rows is one answer
BAUD = 9_600
IDLE_S = 120.0  # an optical port that hears nothing for so long is closed
SERIAL = 80_000_001
HISTORY_ROWS = 192  # two days


def line_plates(count: int, password: bytes = b"", first: int = FIRST_PHYSICAL) -> tuple[Plate, ...]:
    """Meters of one line: told apart by physical address; the public client reads them, or one with a password."""
    model = plates(password)[1]
    access = model.access if password else Access()
    return tuple(
        replace(
            model,
            serial=f"{SERIAL + n}",
            logical_name=f"LGZ10{SERIAL + n:011d}".encode(),
            access=replace(access, physical=first + n),
            frame_size=FRAME_SIZE,
            max_pdu=MAX_PDU,
        )
        for n in range(count)
    )


class LineMeter:
    """One meter's end of the line."""

    def __init__(self, meter: Meter, baud: int, half_open: bool, optical: OpticalPort | None = None) -> None:
        self.meter, self._baud, self._optical = meter, baud, optical
        self._pauses = 0
        plate = meter.plate
        self._server = Server(meter, (plate.access,), plate.max_pdu, settable=meter, acting=meter)
        self._half = self._connected()
        self._stuck = half_open
        self._closing = False  # its last answer is on its way

    def hear(self, octets: bytes, baud: int) -> bytes:
        """What it answers to what it hears at the line's speed."""
        self._pauses = 0
        if self._optical is not None and self._closing:
            self._close(self._optical)
        if baud != self.baud:
            return b""
        if self._optical is None:
            return self._answer(self._half.received(octets))
        if not self._optical.open:
            return self._optical.hear(octets)
        self._optical.pause_s = 0.0
        before = self._half.connected
        answer = self._answer(self._half.received(octets))
        if before and not self._half.connected:
            self._closing = True
        return answer

    def silence(self) -> bytes:
        """The master pauses; an optical port that hears nothing for long is closed."""
        self._pauses += 1
        if self._optical is not None and (self._closing or self._pauses * GAP_S > IDLE_S):
            self._close(self._optical)
        return self._answer(self._half.silence())

    @property
    def baud(self) -> int:
        """Its speed now."""
        return self._baud if self._optical is None else self._optical.baud

    @property
    def pause_s(self) -> float:
        """How long it takes to its next answer."""
        return 0.0 if self._optical is None else self._optical.pause_s

    def _close(self, port: OpticalPort) -> None:
        port.close()
        self._closing = False
        self._half = self._connected()

    def _answer(self, answer: bytes) -> bytes:
        if self._half.ended:
            self._half = self._connected()
        if not self._stuck or not answer:
            return answer
        # It hears DISC alone: the link of the client that is gone ends, and everybody is heard again.
        reader = hdlc.FrameReader()
        kinds = {frame.control & ~hdlc.POLL_FINAL for frame in reader.feed(answer)}
        self._half = self._connected()
        if hdlc.DM not in kinds:
            return b""
        self._stuck = False
        return answer

    def _connected(self) -> HdlcServer:
        plate = self.meter.plate
        access = plate.access
        sizes = plate.frame_size, access.address_bytes, plate.window
        return HdlcServer(self._server, access.server, access.physical, *sizes)


class DlmsLine:
    """The meters on one terminal at `link`; `counted` is how many frames the master sent that somebody answered."""

    def __init__(
        self,
        link: Path,
        found: Sequence[Plate],
        record: Record,
        utc_ms: Callable[[], int],
        *,
        seed: int = 0,
        faults: LineFaults | None = None,
        baud: int = BAUD,
        history_rows: int = HISTORY_ROWS,
        optical: Identification | None = None,
        confirms: bool = True,
    ) -> None:
        """Open the line; with an identification its meters have optical ports, which are opened in mode E.

        Raises:
            OSError: it cannot be made.
        """
        self.faults = faults or LineFaults()
        self.turned: Faults | None = None  # changes answers by their turn, where that is wanted
        self.frozen = False
        self.counted = self.spoilt = 0
        self._dice = random.Random(seed)
        first = utc_ms() // QUARTER_MS - history_rows + 1
        meters = [Meter(plate, record, utc_ms, seed, first, None) for plate in found]
        self.meters = [
            LineMeter(
                meter,
                baud,
                self.faults.half_open,
                OpticalPort(optical, meter.plate.serial, confirms) if optical is not None else None,
            )
            for meter in meters
        ]
        for meter in meters:
            meter.write_rows(utc_ms())
        self.pty = PtyLine(link)

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until `stop`."""
        while not stop.is_set():
            octets = await self.pty.read(GAP_S)
            if self.frozen:
                continue
            if octets and self.faults.echo:
                self.pty.write(octets)
            speed = self.pty.speed()
            said = [(each, each.hear(octets, speed) if octets else each.silence()) for each in self.meters]
            talking = [(each, answer) for each, answer in said if answer]
            if talking:
                await self._say(talking[0][0], _together([answer for _, answer in talking]))

    def freeze(self) -> None:
        """No meter answers any more."""
        self.frozen = True

    def close(self) -> None:
        """Take the line away."""
        self.pty.close()

    async def _say(self, meter: LineMeter, answer: bytes) -> None:
        self.counted += 1
        if self.turned is not None and answer[0] == hdlc.FLAG:
            answer = self.turned.answers(answer)
        kind = self.faults.draw(self._dice) if answer else None
        self.spoilt += kind is not None
        if kind == "stutter":
            self.pty.write(FALSE_START)
        if kind in ("late", "stutter"):
            await asyncio.sleep(self.faults.late_s)
        await asyncio.sleep(meter.pause_s)
        if self.pty.speed() != meter.baud:
            return  # the master hears nothing that comes at another speed
        self.pty.write(spoil(answer, kind, self._dice))


def _together(answers: Sequence[bytes]) -> bytes:
    """What is on the line when several talk at once: the bits that all of them leave alone."""
    longest = max(map(len, answers))
    padded = [answer.ljust(longest, b"\xff") for answer in answers]
    return bytes(functools.reduce(operator.and_, each) for each in zip(*padded, strict=True))
