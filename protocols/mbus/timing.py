"""How long to wait on the bus, and how long an exchange takes at least: whole milliseconds from bits and baud.

A character is 11 bits (8E1). EN 13757-2: a meter answers after 11 bits at the earliest and 330 bits + 50 ms at the
latest. Every bound is rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass

CHARACTER_BITS = 11
FIRST_BYTE_BITS = 341  # 330 bits that the slowest legal meter takes, and one character
SLAVE_EXTRA_MS = 50
BETWEEN_BITS = 33  # three characters of silence end a frame
REQUEST_BITS = 66  # REQ_UD2 (5 characters) and 11 bits before the answer
NKE_BITS = 77  # SND_NKE, its gap, and E5
SELECT_BITS = 209  # a secondary select and its E5
SLOWEST_BITS = 330
USB_SLACK_MS = 100  # what a USB converter may hold bytes back
TCP_SLACK_MS = 200  # ... and a TCP converter, beside the round trip to it
LONGEST = 773  # characters: the longest frame (261) behind as much noise as is skipped (512)
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400)


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits on a bus of `baud`; `slack_ms` is what the adapter adds (USB 100 ms, TCP its round trip + 200 ms)."""

    baud: int = 2400
    slack_ms: int = USB_SLACK_MS

    def __post_init__(self) -> None:
        if self.baud <= 0 or self.slack_ms < 0:
            raise ValueError(f"expected baud > 0 and slack >= 0, got {self.baud} and {self.slack_ms}")

    def characters_ms(self, count: int) -> int:
        """How long `count` characters take on the line."""
        return self._bits_ms(count * CHARACTER_BITS)

    def first_byte_ms(self, request_size: int = 0) -> int:
        """From handing `request_size` bytes to the adapter to the first byte of the answer, at the latest."""
        return self._bits_ms(FIRST_BYTE_BITS + request_size * CHARACTER_BITS) + SLAVE_EXTRA_MS + self.slack_ms

    def answered_ms(self, request_size: int) -> int:
        """The same to the end of the longest answer, with the noise before it that is borne."""
        return self.first_byte_ms(request_size) + self.characters_ms(LONGEST)

    def between_ms(self) -> int:
        """The longest silence inside an answer."""
        return self._bits_ms(BETWEEN_BITS) + self.slack_ms

    def minimum_ms(self, reply_size: int, reset: bool = False, select: bool = False) -> int:
        """The least time that reading a reply of `reply_size` bytes takes: T_min(N)."""
        extra = (NKE_BITS if reset else 0) + (SELECT_BITS if select else 0)
        return self._bits_ms(REQUEST_BITS + CHARACTER_BITS * reply_size + extra)

    def slowest_ms(self, reply_size: int, reset: bool = False, select: bool = False) -> int:
        """The same with the slowest legal meter: what a forecast of the bus time must count with."""
        return self.minimum_ms(reply_size, reset, select) + self._bits_ms(SLOWEST_BITS) + SLAVE_EXTRA_MS

    def _bits_ms(self, bits: int) -> int:
        return -(-bits * 1000 // self.baud)
