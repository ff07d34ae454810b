"""How long to wait on a serial line of Modbus meters, and how long an exchange takes: whole milliseconds from baud.

Modbus over Serial Line V1.02, 2.5.1.1: at least 3.5 characters of silence between two frames, and 1.75 ms from 19,200
baud up. A character is 11 bits, with parity or with a second stop bit. The silence inside a frame (1.5 characters) is
not watched: adapters and converters hand over bytes in pieces. Every bound is rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass

CHARACTER_BITS = 11
GAP_CHARACTERS_X2 = 7  # 3.5 characters, twice
FAST_BAUD, FAST_GAP_MS = 19_200, 2  # above it the gap is fixed at 1.75 ms
SLACK_MS = 100  # what a USB converter may hold bytes back
ANSWER_MS = 1_000  # from our frame to the meter's, where nothing else is configured


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits on a line of `baud`; `slack_ms` is what the adapter adds, `answer_ms` what a meter may take."""

    baud: int = 9_600
    slack_ms: int = SLACK_MS
    answer_ms: int = ANSWER_MS

    def __post_init__(self) -> None:
        if self.baud <= 0 or self.slack_ms < 0 or self.answer_ms <= 0:
            got = f"{self.baud}, {self.slack_ms} and {self.answer_ms}"
            raise ValueError(f"expected baud > 0, slack >= 0 and an answer's time > 0, got {got}")

    def characters_ms(self, count: int) -> int:
        """How long `count` characters take on the line."""
        return -(-count * CHARACTER_BITS * 1000 // self.baud)

    def gap_ms(self) -> int:
        """The silence before a frame."""
        if self.baud > FAST_BAUD:
            return FAST_GAP_MS
        return -(-GAP_CHARACTERS_X2 * CHARACTER_BITS * 1000 // (2 * self.baud))

    def quiet_ms(self) -> int:
        """The silence after which nothing more of a frame comes, whatever the adapter holds back."""
        return self.gap_ms() + self.slack_ms

    def whole_ms(self, asked: int, answered: int) -> int:
        """From handing `asked` bytes to the adapter to the last of `answered` bytes, at the latest."""
        return self.characters_ms(asked + answered) + self.answer_ms + self.slack_ms
