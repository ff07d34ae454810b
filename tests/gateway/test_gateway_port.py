"""A port that is opened again: by the next process, or after the last one was killed."""

from __future__ import annotations

import os

from protocols.transports.serial import SerialLine


def test_a_terminal_without_parity_can_be_opened_a_second_time() -> None:
    """Seen after kill -9: the parity was the only setting left to change, and the kernel refused it."""
    master, slave = os.openpty()
    try:
        for _ in range(3):
            line = SerialLine.open(os.ttyname(slave))
            assert not line.parity_set
            line.close()
    finally:
        os.close(master)
        os.close(slave)
