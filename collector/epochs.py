"""What state each epoch of a gateway is in: a pure function over compact facts, the same in whatever order they came.

The table of the contract (docs/uplink.md):

* pending: sequence 1 has not come yet; lifts by itself.
* open: the first epoch, or one whose parent's n is not below what is stored there.
* closed at n: a child names it as its parent at n; complete when 1..n are stored or declared lost.
* orphan: no parent, and not the first after enrolment: the gateway's memory was lost.
* broken: a child's parent is below what is stored (rolled back), two children of one parent, a number beyond n, or one
  (epoch, number) with two ids (a clone).

A child that names a parent below what is stored there, or that has a sibling, is broken together with its parent; a
child of a clone is judged by its own facts. The first epoch after enrolment is the one without a parent that was
created first by the gateway's own clock (so that the order of arrival does not matter): with a clock that was unset the
choice between two may be wrong, one of them is held in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collector import runs
from collector.runs import Runs
from protocols.uplink.header import Parent


class State(StrEnum):
    """Where an epoch stands."""

    PENDING = "pending"
    OPEN = "open"
    CLOSED = "closed"
    ORPHAN = "orphan"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Start:
    """What a stored batch with sequence 1 says."""

    id: bytes
    parent: Parent | None
    created_ms: int
    core: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one epoch.

    `contradictions` are sequence numbers for which more than one id is known: by two stored batches, or by a stored
    one and another that a later batch names as the one before it.
    """

    epoch: bytes
    starts: tuple[Start, ...] = ()
    stored: Runs = ()
    lost: Runs = ()
    contradictions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """An epoch's state: `end` is the n at which a child closed it, `gaps` the missing and not declared numbers."""

    epoch: bytes
    state: State
    end: int | None
    complete: bool
    gaps: Runs


@dataclass(frozen=True, slots=True)
class Incident:
    """A reason to hold epochs from billing; `facts` changes when there is something new to look at."""

    kind: str
    subject: bytes
    epochs: tuple[bytes, ...]
    facts: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """All epochs of a gateway and what an operator has to look at."""

    epochs: dict[bytes, Judged]
    incidents: tuple[Incident, ...]


def judge(known: Sequence[Facts]) -> Judgement:
    """The state of every epoch that is known or named as a parent."""
    facts = {each.epoch: each for each in known}
    children = _children(known)
    for parent in children:
        facts.setdefault(parent, Facts(parent))
    alone = sorted((start.created_ms, each.epoch) for each in known for start in each.starts if start.parent is None)
    orphans = {epoch for _, epoch in alone[1:]} - ({alone[0][1]} if alone else set())
    broken = _broken(facts, children)
    affected = {epoch for incident in broken for epoch in incident.epochs}
    judged = {
        epoch: _judged(each, children.get(epoch, []), epoch in affected, epoch in orphans)
        for epoch, each in facts.items()
    }
    lost = [Incident("orphan", epoch, (epoch,), "") for epoch in sorted(orphans)]
    return Judgement(judged, (*broken, *lost, *_older(facts)))


def _children(known: Sequence[Facts]) -> dict[bytes, list[tuple[int, bytes]]]:
    """By parent: at which number, and which epoch."""
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for each in known:
        for parent in {start.parent for start in each.starts if start.parent is not None}:
            found.setdefault(parent.epoch, []).append((parent.seq, each.epoch))
    return {parent: sorted(mine) for parent, mine in found.items()}


def _broken(facts: dict[bytes, Facts], children: dict[bytes, list[tuple[int, bytes]]]) -> list[Incident]:
    found = []
    for epoch, each in sorted(facts.items()):
        mine = children.get(epoch, [])
        highest = runs.top(each.stored)
        wrong = [child for at, child in mine if len(mine) > 1 or at < highest]
        if wrong or each.contradictions:
            seen = ",".join([*(child.hex() for child in wrong), *map(str, sorted(each.contradictions))])
            found.append(Incident("broken", epoch, (epoch, *wrong), seen))
    return found


def _judged(each: Facts, mine: list[tuple[int, bytes]], broken: bool, orphan: bool) -> Judged:
    end = mine[-1][0] if mine else None
    settled = runs.union(each.stored, each.lost)
    known = max(runs.top(settled), end or 0)
    gaps = runs.minus(((1, known),), settled) if known else ()
    complete = end is not None and not gaps
    if broken:
        state = State.BROKEN
    elif not each.starts and (1, 1) not in runs.common(each.lost, ((1, 1),)):
        state = State.PENDING
    elif orphan:
        state = State.ORPHAN
    else:
        state = State.OPEN if end is None else State.CLOSED
    return Judged(each.epoch, state, end, complete, gaps)


def _older(facts: dict[bytes, Facts]) -> list[Incident]:
    """Epochs sealed by code older than their parent's: an update that was taken back."""
    found = []
    for epoch, each in sorted(facts.items()):
        for start in each.starts:
            before = facts[start.parent.epoch].starts if start.parent else ()
            if any(_version(old.core) > _version(start.core) for old in before):
                found.append(Incident("core-older", epoch, (epoch,), start.core))
                break
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(digits[:9]) for digits in re.findall(r"[0-9]+", text)[:6])
