"""The optical port of a meter: it is asked at 300 baud who it is, and goes on in HDLC at the speed that it is told."""

from __future__ import annotations

import re

from protocols.dlms.opening import SPEEDS, START_BAUD, Identification, acknowledgement, with_parity, without_parity

REACTION_S = 0.02  # before the identification; a true meter takes 0.2 s
CONFIRM_S = 0.4  # from the acknowledgement to its confirmation, at the new speed: 0.2 s of it are its characters
KEPT = 64  # characters
_REQUEST = re.compile(rb"/\?([0-9A-Za-z ]*)!\r\n$")
_CHOICE = re.compile(rb"\x062([0-6])2\r\n$")


class OpticalPort:
    """Between two visits a meter hears opening messages alone.

    `baud` is its speed now; `confirms` whether it says so when it has changed it; `pause_s` stands before its last
    answer.
    """

    def __init__(self, identification: Identification, number: str, confirms: bool = True) -> None:
        self.identification, self.confirms = identification, confirms
        self.baud, self.pause_s = START_BAUD, 0.0
        self.open = False
        self._number = number.encode()
        self._asked = False
        self._heard = b""

    def hear(self, octets: bytes) -> bytes:
        """What it answers to characters that came at its speed."""
        plain, wrong = without_parity(octets)
        if wrong or plain == octets != with_parity(plain):  # no parity, or a wrong one: it hears nothing
            self._heard = b""
            return b""
        self._heard = (self._heard + plain)[-KEPT:]
        if found := _REQUEST.search(self._heard):
            self._heard = b""
            self._asked = found[1] in (b"", self._number)
            self.pause_s = REACTION_S
            return with_parity(self.identification.to_bytes()) if self._asked else b""
        if (found := _CHOICE.search(self._heard)) and self._asked and self.identification.knows_hdlc:
            return self._change(found[1].decode())
        return b""

    def close(self) -> None:
        """The link is over: it is at 300 baud again."""
        self.baud, self.open, self._asked, self._heard = START_BAUD, False, False, b""

    def _change(self, speed: str) -> bytes:
        self.baud, self.open, self._heard = SPEEDS[speed], True, b""
        self.pause_s = CONFIRM_S
        return with_parity(acknowledgement(speed)) if self.confirms else b""
