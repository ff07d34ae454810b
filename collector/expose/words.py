"""What codes mean, in words for people who have not read the contract."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from collector.shown import utc
from collector.store.devices import FAILED, RECOVERED, Failure
from protocols.catalogue import Entry, read_catalogue
from protocols.reading import Status
from protocols.uplink import limits
from protocols.uplink.records import Configuration, Event, Lost, OtherRecord, Record, TimeCorrection, Unsealed

TEXT = 400  # characters of a sentence that is made of what a gateway said

HELD = {
    "pending": "the beginning of its chain has not come yet",
    "config": "the gateway's configuration is not approved",
    "root": "a batch is not what its seal says",
    "broken": "the gateway's chain is broken: rolled back or copied",
    "orphan": "the gateway lost its memory",
    "core-older": "sealed by older software than before",
    "unsealed": "read while the gateway's key could not be used",
    "vouched": "vouched for by a later key",
    "partial": "the meter's answer is not whole, or nothing confirmed what is hard to believe in it",
    "restored": "this collector was restored from an older copy",
}

EVENTS = {
    "start": "gateway started",
    "stop": "gateway stopped",
    "epoch-new": "new chain of batches",
    "clock-step": "gateway's clock stepped",
    "clock-apart": "gateway's clock differs from the collector's",
    "meter-clock-apart": "meter's clock differs from the gateway's",
    "meter-clock-adjusted": "meter's clock adjusted",
    "meter-clock-failed": "meter's clock could not be adjusted",
    "meter-offset-doubtful": "meter's offset from UTC seems to have the other sign: its rows are kept and not billed",
    "clock-set": "gateway's clock set",
    "poll-failed": "meter could not be read",
    "poll-recovered": "meter is read again",
    "identity-mismatch": "another meter answered",
    "meter-changed": "another meter is in its place, read under its own identity and attributed to nobody",
    "meter-returned": "the meter that was known answers again",
    "meter-exchanged": "meter exchange recorded",
    "slot-missed": "meter not read in the time that its calendar gives",
    "newcomer-found": "a meter that nobody configured was found, read once and attributed to nobody",
    "reading-doubtful": "a reading that nothing confirmed, kept and not billed",
    "bus-failed": "bus failed",
    "bus-recovered": "bus works again",
    "reading-refused": "a reading could not be sealed",
    "record-refused": "a record could not be sealed",
    "buffer-full": "buffer full: new readings refused",
    "buffer-room": "buffer has room again",
    "buffer-high": "buffer nearly full",
    "stored-not-safe-removed": "stored batches removed before they were safe",
    "buffer-salvaged": "damaged buffer salvaged",
    "buffer-log-cut": "commits of the buffer's log are lost: bits in it went bad",
    "batch-rotten": "a batch in the buffer went bad",
    "mark-taken-back": "collector asked again for batches",
    "generation-raised": "collector was restored: all is offered again",
    "write-failed": "gateway's disk did not take readings",
    "write-recovered": "gateway's disk takes readings again",
}

SILENT = ("PLB-M101", "PLB-M301", "PLB-M401")  # nothing came from the meter

# Bus, packed identity, since, words.
PLACES = frozenset({"meter-changed", "meter-returned", "meter-exchanged", "newcomer-found"})
BUSES = FAILED | RECOVERED | PLACES | {"reading-doubtful", "slot-missed"}  # their first parameter is the bus
SPANS = frozenset({"slot-missed"})  # behind the bus: from and to (ms)
RAW = FAILED | {
    "meter-offset-doubtful",
    "reading-doubtful",
    "reading-refused",
    "record-refused",
    "write-failed",
}  # their last parameter is a message
_CODE = re.compile(r"PLB-[A-Z][0-9]{3}")

# of the first parameter of an event
PLACE_WORDS = 2  # behind the bus: who it is in bytes, and since when in ms
CLOCKS = frozenset({"clock-step", "clock-set", "meter-clock-apart"})  # among their parameters are instants of ours
UNITS = {"clock-step": " ms", "clock-apart": " ms", "clock-set": " ms", "meter-clock-apart": " ms", "buffer-high": " %"}


@dataclass(frozen=True, slots=True)
class Parts:
    """An event's parameters by what they are: the bus, the error's code, a message as it was written, the others."""

    bus: str | None
    fault: str | None
    raw: str | None
    others: tuple[str, ...]

    @classmethod
    def of(cls, event: Event) -> Parts:
        """As far as they are known."""
        shown = _clocked if event.code in CLOCKS else _parameter
        said = [shown(each) for each in event.parameters if each is not None]
        bus = said.pop(0) if event.code in BUSES and said else None
        raw = said.pop() if event.code in RAW and len(said) > 1 else None
        fault = next((each for each in said if _CODE.fullmatch(each)), None)
        if event.code in PLACES:
            said = said[PLACE_WORDS:]
        if event.code in SPANS:
            said = [instant(utc(int(each))) if each.isdecimal() else each for each in said]
        return cls(bus, fault, raw, tuple(each for each in said if each != fault))


NOTHING = Parts(None, None, None, ())


def held(kind: str) -> str:
    """Why something is held."""
    return HELD.get(kind, kind)


def status(flags: Status) -> tuple[str, ...]:
    """The status bits that are set."""
    return tuple(str(each.name).lower().replace("_", "-") for each in Status if each and each in flags)


def meaning(code: str) -> tuple[str, str]:
    """What an error code means, and what to do."""
    known = _catalogue().get(code)
    return ("a code of another version", "see the message") if known is None else (known.meaning, known.do)


def clause(sentence: str) -> str:
    """A sentence as it stands inside another one."""
    text = sentence.rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def instant(text: str) -> str:
    """An instant of ours as "2026-11-21 23:45:00 UTC"."""
    if not text.endswith("Z"):
        return text.replace("T", " ")
    return f"{text[:19].replace('T', ' ')} UTC"


def failing(failure: Failure, answers: bool = False) -> str:
    """What a gateway said of a bus or device, and since when; `answers`: readings came since, but not all of it."""
    if not failure.device:
        what = "failed"
    elif failure.event == "identity-mismatch":
        what = "has another meter in its place"
    elif answers:
        what = "not read in full"
    else:
        what = "not answering" if failure.code in SILENT else "not read"
    return f"{what} since {instant(utc(failure.at_ms))}"


def told(record: Record) -> str:
    """A record as a sentence."""
    match record:
        case Event():
            said = _said(record)
            text = EVENTS.get(record.code, record.code) + (": " + ", ".join(said) if said else "")
        case Lost():
            text = f"batches {record.first} to {record.last} declared lost: {record.reason}"
        case Configuration():
            text = "configuration reported"
        case TimeCorrection():
            text = f"times of an earlier boot corrected by {record.offset_ms} ms"
        case Unsealed():
            text = f"reading of {record.reading.device} taken while the key could not be used; held"
        case OtherRecord():
            text = f"record of kind {record.kind}, kept as it is"
    return text[:TEXT]


@cache
def _catalogue() -> dict[str, Entry]:
    """Every code of the product by name: a gateway's codes are of classes that a collector does not have."""
    return {each.code: each for each in read_catalogue().entries}


def _parameter(value: int | str | bytes) -> str:
    if isinstance(value, bytes):
        return value.hex()[:16]
    return str(value)


def _clocked(value: int | str | bytes) -> str:
    """A parameter of an event of a clock: what is as large as an instant of ours is one."""
    if isinstance(value, int) and limits.PAST_MS <= value < limits.FUTURE_MS:
        return instant(utc(value))
    return _parameter(value)


def _said(event: Event) -> list[str]:
    """The parameters that stand nowhere else, the first with its unit where the code gives it one."""
    said = list(Parts.of(event).others)
    unit = UNITS.get(event.code, "")
    return [said[0] + unit, *said[1:]] if said else []
