"""How long to wait on a serial line of DLMS meters, and how long an exchange takes: whole milliseconds from baud.

HDLC names a time for the first byte of an answer and one between two bytes of a frame (IEC 62056-46, 6.4.4.3); a meter
has its own (the HDLC setup object), and some take seconds between two frames. Every bound is rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass

CHARACTER_BITS = 11  # with parity; without it there are ten, and a bound is one all the same
BETWEEN_MS = 25  # the inter-octet time that a meter has where nobody changed it
BETWEEN_BITS = 33  # three characters of silence
SLACK_MS = 100  # what a USB converter may hold bytes back
ANSWER_MS = 2_000  # from our frame to the meter's, where nothing else is configured
SLOWEST_ANSWER_MS = 10_000
MOST_PAUSES = 8  # within one answer over TCP, of a meter that makes them
FASTEST_ANSWER_MS = 100
RELEASE_TURNS = 2  # RLRQ and DISC
SHORT_FRAME = 40  # characters: RLRQ, RLRE, DISC and UA are shorter
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200)


@dataclass(frozen=True, slots=True)
class Waits:
    """The waits over TCP: `answer_ms` for each try of a question (None: as `TIMEOUT_MS` of a session has it).

    `pause_ms`: a meter behind a slow modem may be silent for so long within an answer, up to `MOST_PAUSES` times.
    """

    answer_ms: int | None = None
    pause_ms: int = 0

    def timeout_ms(self, tries: int, otherwise: int) -> int:
        """For one answer, all tries included."""
        return otherwise if self.answer_ms is None else tries * self.answer_ms

    def latest_ms(self, sent_ms: int, allowed_ms: int) -> int:
        """When the last byte of an answer must be there whose question was sent at `sent_ms`."""
        return sent_ms + allowed_ms + MOST_PAUSES * self.pause_ms

    def release_ms(self, otherwise: int) -> int:
        """For the end of an association and of its link: the next meter waits."""
        return otherwise if self.answer_ms is None else RELEASE_TURNS * (self.answer_ms + self.pause_ms)


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits on a line of `baud`; `slack_ms` is what the adapter adds, `answer_ms` what the meter may take.

    `pause_ms` is how long it may be silent within a frame, where that is more than a line makes necessary.
    """

    baud: int = 9_600
    slack_ms: int = SLACK_MS
    answer_ms: int = ANSWER_MS
    pause_ms: int = 0

    def __post_init__(self) -> None:
        if self.baud <= 0 or min(self.slack_ms, self.pause_ms) < 0 or self.answer_ms <= 0:
            got = f"{self.baud}, {self.slack_ms}, {self.pause_ms} and {self.answer_ms}"
            raise ValueError(f"expected baud > 0, slack and pause >= 0 and an answer's time > 0, got {got}")

    def characters_ms(self, count: int) -> int:
        """How long `count` characters take on the line."""
        return self._bits_ms(count * CHARACTER_BITS)

    def first_byte_ms(self, request_size: int) -> int:
        """From handing `request_size` bytes to the adapter to the first byte of the answer, at the latest."""
        return self.characters_ms(request_size + 1) + self.answer_ms + self.slack_ms

    def between_ms(self) -> int:
        """The longest silence inside a frame."""
        return max(self._bits_ms(BETWEEN_BITS) + BETWEEN_MS, self.pause_ms) + self.slack_ms

    def release_ms(self) -> int:
        """For the end of an association and of its link: the next meter waits."""
        return RELEASE_TURNS * (self.first_byte_ms(SHORT_FRAME) + self.characters_ms(SHORT_FRAME))

    def _bits_ms(self, bits: int) -> int:
        return -(-bits * 1000 // self.baud)
