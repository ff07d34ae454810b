"""Where nobody answers: the meter looked for in the other framing, at other addresses and at other speeds.

Each try is one frame that opens a link or an association of the public client, which logs in nowhere and locks nothing;
what was opened is closed again. The first answer ends the search.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass

from gateway.desk import Asked
from gateway.dlms_access import answer_ms
from gateway.dlms_entrance import PUBLIC
from gateway.lines import Lines, Opened, opened
from gateway.probe import framing
from gateway.remedy import Remedy
from protocols.dlms import hdlc
from protocols.dlms.access import Framing
from protocols.dlms.association import RELEASE_REQUEST, AssociationRequest
from protocols.dlms.hdlc import POLL_FINAL, Frame
from protocols.dlms.heard import Heard
from protocols.dlms.initiate import OURS, InitiateRequest
from protocols.dlms.link import OUR_SIZE, Parameters
from protocols.dlms.opening import Opening
from protocols.dlms.timing import Timing
from protocols.dlms.wrapper import Message
from protocols.errors import LinkError, MeterError
from protocols.transports.exchange import ClosableLine
from protocols.transports.optical import SpeedLine, opened_in_mode_e

TCP_S = 2.0  # for an answer over TCP
SPEEDS = (9_600, 2_400, 19_200, 4_800, 38_400, 115_200, 57_600, 1_200, 300)  # the most common ones first
MBUS_NKE = bytes.fromhex("1040fe3e16")  # to whoever is there: an M-Bus meter says E5
MBUS_ACK = b"\xe5"
CONNECT_S = 5.0
AGAIN_S = (0.0, 0.5, 2.0)  # before each connection of a search
PAUSE_S = 0.2  # behind the last byte of an answer
MOST = 1_024  # bytes of an answer
SNRM_BYTES = 40
SHORT, LENGTHS = 0x80, (1, 2, 4)  # numbers from 80 on need the longest form


@dataclass(frozen=True, slots=True)
class Address:
    """The HDLC address of a server; `size` is its length, None for the shortest."""

    server: int
    physical: int | None = None
    size: int | None = None

    def __str__(self) -> str:
        at = f"server {self.server}" + (f", physical {self.physical}" if self.physical is not None else "")
        return f"{at}, in {len(self.octets)} byte{'' if len(self.octets) == 1 else 's'}"

    @property
    def octets(self) -> bytes:
        """As it travels."""
        return hdlc.server_address(self.server, self.physical, self.size)

    @property
    def keys(self) -> tuple[tuple[str, object], ...]:
        """The settings that say so."""
        physical = () if self.physical is None else (("physical", self.physical),)
        shortest = hdlc.server_address(self.server, self.physical) == self.octets
        size = () if shortest else (("address_bytes", len(self.octets)),)
        return (("server", self.server), *physical, *size)


# What meters mostly have: the management device, alone or with a physical address, in each length.
USUAL = (Address(1), Address(1, 16), Address(1, 17), Address(1, 16, 4), Address(1, 17, 4), Address(16))


@dataclass(frozen=True, slots=True)
class Sought:
    """What answered: in words, and the settings that are right then; `url` for the other framing, else keys."""

    words: str
    url: bool = False
    keys: tuple[tuple[str, object], ...] = ()

    def settings(self, remedy: Remedy) -> str:
        """What to write, or to give."""
        if not self.url and not self.keys:
            return "M-Bus meters are read with 'plomba-gateway read', and found with 'plomba-gateway scan'"
        written = [remedy.other_url()] if self.url else []
        given = remedy.asked
        known = {"server": given.access.server, "physical": given.access.physical, "baud": given.bus.baud}
        told = [(key, value) for key, value in self.keys if known.get(key) != value]
        again = "probe again: it held a link that somebody had left open"
        return "; ".join([*written, *(remedy.set(key, value) for key, value in told)]) or again


async def seek(asked: Asked, lines: Lines) -> Sought | None:
    """The first setting with which somebody answers; None where nobody does.

    A meter with one place may not have noticed yet that the last connection ended, and closes the next one: it is
    asked again. Who closes each one is not a meter, or is held by somebody else.
    """
    for pause_s in AGAIN_S:
        await asyncio.sleep(pause_s)
        try:
            if asked.bus.on_line:
                return await _first(asked, await opened(asked.place, lines))
            _, host, port = asked.place.remote or ("", "", 0)
            return await _first(asked, Opened(await lines.tcp(host, port, CONNECT_S)))
        except LinkError:
            continue
    return None


async def _first(asked: Asked, found: Opened) -> Sought | None:
    with closing(found.line):
        tries = _on_line(asked, found) if asked.bus.on_line else _over_tcp(asked, found.line)
        async with aclosing(tries) as answered:
            async for each in answered:
                return each
    return None


async def _over_tcp(asked: Asked, line: ClosableLine) -> AsyncGenerator[Sought, None]:
    """The other framing, then other addresses, then M-Bus."""
    wrapped = framing(asked) is Framing.WRAPPER
    if not wrapped and await _is_wrapper(line, asked.access.server):
        yield Sought("a meter answers in the TCP wrapper", url=True)
    for address in _addresses(asked):
        if await _is_linked(line, address, TCP_S):
            yield Sought(f"a meter answers HDLC frames at {address}", wrapped, address.keys)
    await line.write(MBUS_NKE)
    if (await line.read_some(TCP_S))[:1] == MBUS_ACK:
        yield Sought("an M-Bus line is here")


async def _on_line(asked: Asked, found: Opened) -> AsyncGenerator[Sought, None]:
    """Other speeds at the address that was given, then other addresses at the speed that was given, then mode E.

    A meter whose link was left open may hear nothing but its end, which was sent meanwhile: it is asked once more.
    """
    line, bus = found.line, asked.bus
    given = Address(asked.access.server, asked.access.physical, asked.access.address_bytes)
    if isinstance(line, SpeedLine):
        for baud in SPEEDS:
            await line.set_speed(baud)
            if baud != bus.baud and await _is_linked(line, given, _wait_s(asked, baud, found.slack_ms)):
                yield Sought(f"a meter answers at {baud} baud", keys=(("baud", baud),))
        await line.set_speed(bus.baud)
    for address in _addresses(asked):
        if await _is_linked(line, address, _wait_s(asked, bus.baud, found.slack_ms)):
            yield Sought(f"a meter answers at {address}", keys=address.keys)
    if isinstance(line, SpeedLine) and bus.port is not None:
        try:
            head = await opened_in_mode_e(line, Opening("", bus.baud))
        except MeterError:
            return
        closed = await _is_linked(line, given, _wait_s(asked, head.baud, found.slack_ms))
        who = f"{head.identification.manufacturer} {head.identification.text}"
        wait = "" if closed else "; it hears nobody for two minutes now"
        yield Sought(f"an optical port answers, of a meter that says {who}{wait}", keys=(("opening", "mode-e"),))


def _addresses(asked: Asked) -> Iterator[Address]:
    """The one that was given, once more and in each length, then the usual ones."""
    access = asked.access
    given = Address(access.server, access.physical, access.address_bytes)
    numbers = max(access.server, access.physical or 0)
    fitting = [each for each in (1, 2, 4) if numbers < SHORT or each == max(LENGTHS)]
    if access.physical is not None:
        fitting = [each for each in fitting if each > 1]
    ours = [Address(access.server, access.physical, each) for each in fitting]
    tried = set[bytes]()
    for each in (given, *ours, *USUAL):
        if each.octets not in tried:
            tried.add(each.octets)
            yield each


async def _is_linked(line: ClosableLine, address: Address, wait_s: float) -> bool:
    """Whether a server at this address takes a link of the public client; it is closed again."""
    ours = hdlc.client_address(PUBLIC)
    wanted = Parameters(OUR_SIZE, OUR_SIZE).to_bytes()
    snrm = Frame(address.octets, ours, hdlc.SNRM | POLL_FINAL, wanted).to_bytes()
    line.flush_input()
    await line.write(snrm)
    if not Heard(Framing.HDLC, snrm, await _heard(line, wait_s)).linked:
        return False
    await _end(line, Frame(address.octets, ours, hdlc.DISC | POLL_FINAL).to_bytes(), wait_s)
    return True


async def _is_wrapper(line: ClosableLine, server: int) -> bool:
    """Whether an AARQ of the public client is answered in the wrapper: refused or not."""
    aarq = Message(PUBLIC, server, AssociationRequest(InitiateRequest(OURS)).to_bytes()).to_bytes()
    await line.write(aarq)
    if not Heard(Framing.WRAPPER, aarq, await _heard(line, TCP_S)).linked:
        return False
    await _end(line, Message(PUBLIC, server, RELEASE_REQUEST).to_bytes(), TCP_S)
    return True


async def _end(line: ClosableLine, octets: bytes, wait_s: float) -> None:
    """Close what was opened; who hangs up over it has answered before."""
    with suppress(LinkError):
        await line.write(octets)
        await line.read_some(wait_s)


async def _heard(line: ClosableLine, wait_s: float) -> bytes:
    """What comes until a pause."""
    octets = await line.read_some(wait_s)
    while octets and len(octets) < MOST and (more := await line.read_some(PAUSE_S)):
        octets += more
    return octets


def _wait_s(asked: Asked, baud: int, slack_ms: int) -> float:
    return Timing(baud, slack_ms, answer_ms(asked.bus, asked.device)).first_byte_ms(SNRM_BYTES) / 1000
