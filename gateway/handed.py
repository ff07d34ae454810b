"""What a running daemon hands on between a meter and a command: the command asks, the daemon reads when nothing is due.

The daemon owns its lines. A command that means one of its meters sends what is to be asked to the local socket, one
question after the other; the answers come back as the meter gave them and are understood by the command, so that it
prints what it prints without a daemon. A fault comes back as what it is: code, expected, got and where.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.faults import DaemonRefused
from gateway.local import ask
from protocols.errors import PlombaError
from protocols.uplink.pack import Fields, Wire

VERB = "meter"  # ... of the local socket: a device, and what is asked of it
PATIENCE_S = 120.0  # for an answer: scheduled reads of the bus go first, and the piece in hand of a back-fill
MARGIN_S = 30.0  # what the command waits longer than the daemon: the daemon knows why
WORDS = 4_096  # bytes of a text of a fault
ANSWERED, FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Through:
    """A meter by its name, behind the daemon (its process) that runs in a state folder."""

    folder: Path
    process: str
    meter: str

    def ask(self, *question: Wire) -> Wire:
        """What the meter answers.

        Raises:
            DaemonSilent: there is no answer of the daemon.
            PlombaError: what the daemon met.
        """
        return taken(ask(self.folder, VERB, self.meter, *question, answer_s=PATIENCE_S + MARGIN_S), self.meter)

    @property
    def told(self) -> str:
        """Who read, for a message."""
        return f"the daemon, process {self.process}, reads the meter: what it has to read itself goes first"


def fault(error: PlombaError) -> Wire:
    """An answer that says what went wrong."""
    return [FAILED, [error.code, error.expected, error.got, error.where]]


def taken(answer: Wire, where: str) -> Wire:
    """What is in an answer.

    Raises:
        PlombaError: the fault that is in it; one of a code that is not known here is a refusal of the daemon.
        FieldError, LimitError: it is no answer.
    """
    fields = Fields(answer, "answer", 2)
    if fields.integer("kind", 0, 1) == ANSWERED:
        return fields.any()
    said = Fields(fields.any(), "fault", 4)
    code, expected, got, place = (said.text(name, WORDS) for name in ("code", "expected", "got", "where"))
    known = PlombaError.registry.get(code)
    if known is None:
        raise DaemonRefused("a daemon that reads it", f"{code}: expected {expected}, got {got} in {place}", where)
    raise known(expected, got, place)
