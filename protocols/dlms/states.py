"""The states of a client's association as tables: what happened in which state, and where that leads."""

from __future__ import annotations

from enum import Enum, auto

from protocols.dlms.action import Acted, ActedBlock, ActionRefused, ActionTaken
from protocols.dlms.apdu import Answer, ConfirmedServiceError, ExceptionResponse, Released
from protocols.dlms.association import AssociationResponse
from protocols.dlms.get import Block, Got, GotList, Refused
from protocols.dlms.set import BlockTaken, Set, SetResults


class State(Enum):
    """Where the session stands."""

    IDLE = auto()
    LINKING = auto()
    ASSOCIATING = auto()
    PROVING = auto()  # the meter's challenge is answered, its own proof is awaited
    ASSOCIATED = auto()
    ASKING = auto()
    RELEASING = auto()
    UNLINKING = auto()
    LINKED = auto()  # a link, and no association: the meter refused it
    ENDED = auto()


class Event(Enum):
    """What happened."""

    ASSOCIATE = auto()
    GET = auto()  # ... or SET: a question
    RELEASE = auto()
    ABANDON = auto()  # release, while an answer is awaited on a link
    LINKED = auto()
    ACCEPTED = auto()
    CHALLENGED = auto()  # accepted, and a proof is wanted
    ANSWERED = auto()
    REFUSED = auto()
    RELEASED = auto()
    UNLINKED = auto()
    SILENCE = auto()  # no repetition is left
    LOST = auto()  # the meter ended the link, or the stream ended


STEPS: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.ASSOCIATE): State.LINKING,
    (State.LINKING, Event.LINKED): State.ASSOCIATING,
    (State.ASSOCIATING, Event.ACCEPTED): State.ASSOCIATED,
    (State.ASSOCIATING, Event.REFUSED): State.LINKED,
    (State.ASSOCIATING, Event.SILENCE): State.LINKED,
    (State.ASSOCIATING, Event.CHALLENGED): State.PROVING,
    (State.PROVING, Event.ACCEPTED): State.ASSOCIATED,
    (State.PROVING, Event.REFUSED): State.LINKED,
    (State.PROVING, Event.SILENCE): State.LINKED,
    (State.ASSOCIATED, Event.GET): State.ASKING,
    (State.ASKING, Event.ANSWERED): State.ASSOCIATED,
    (State.ASKING, Event.REFUSED): State.ASSOCIATED,
    (State.ASKING, Event.SILENCE): State.ASSOCIATED,
    (State.ASSOCIATED, Event.RELEASE): State.RELEASING,
    (State.ASKING, Event.RELEASE): State.RELEASING,  # the question was given up
    (State.ASKING, Event.ABANDON): State.UNLINKING,  # ... on a link whose numbers are open
    (State.RELEASING, Event.RELEASED): State.UNLINKING,
    (State.RELEASING, Event.REFUSED): State.UNLINKING,
    (State.RELEASING, Event.SILENCE): State.UNLINKING,
    (State.LINKING, Event.RELEASE): State.UNLINKING,
    (State.ASSOCIATING, Event.RELEASE): State.RELEASING,
    (State.ASSOCIATING, Event.ABANDON): State.UNLINKING,
    (State.PROVING, Event.RELEASE): State.RELEASING,
    (State.PROVING, Event.ABANDON): State.UNLINKING,
    (State.LINKED, Event.RELEASE): State.UNLINKING,
    (State.UNLINKING, Event.UNLINKED): State.ENDED,
    (State.UNLINKING, Event.RELEASE): State.UNLINKING,
    (State.RELEASING, Event.RELEASE): State.UNLINKING,
    (State.IDLE, Event.RELEASE): State.UNLINKING,
    (State.ENDED, Event.RELEASE): State.UNLINKING,  # a meter that fell silent may still hold the link
}
# Which answers count in which state; any other is discarded.
ANSWERS: dict[State, tuple[type[Answer], ...]] = {
    State.ASSOCIATING: (AssociationResponse, ExceptionResponse, ConfirmedServiceError),
    State.PROVING: (Acted, ActionRefused, ExceptionResponse, ConfirmedServiceError),
    State.ASKING: (
        *(Got, GotList, Refused, Block, Set, SetResults, BlockTaken),
        *(Acted, ActionRefused, ActedBlock, ActionTaken),
        *(ExceptionResponse, ConfirmedServiceError),
    ),
    State.RELEASING: (Released, ExceptionResponse, ConfirmedServiceError),
}
