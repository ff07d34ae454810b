"""What the store says of itself, as values that JSON can hold."""

from __future__ import annotations

from collector.epochs import judge
from collector.seat import Seated
from collector.shown import record_shown, utc
from collector.store.cases import Case
from collector.store.gateways import Contact
from collector.store.interface import Store
from collector.store.ring import Kept
from protocols.uplink.header import ClockShown
from protocols.uplink.keys import fingerprint
from protocols.uplink.pack import unpack
from protocols.uplink.records import CONFIGURATION, EVENT, LOST, ROTATE, TIME_CORRECTION, UNSEALED, VOUCH

CLOCK_BYTES = 1_024  # of a stored clock
KINDS = {
    EVENT: "event",
    CONFIGURATION: "configuration",
    LOST: "lost",
    ROTATE: "rotate",
    VOUCH: "vouch",
    TIME_CORRECTION: "time-correction",
    UNSEALED: "unsealed",
}


def status(store: Store, collector: str) -> dict[str, object]:
    """Every gateway, what was refused by code, and all cases, the open ones with what to do."""
    counters = store.ring.counters()
    refused: dict[str, int] = {}
    for (_, name), value in counters.items():
        if name.startswith("refused "):
            code = name.removeprefix("refused ")
            refused[code] = refused.get(code, 0) + value
    head = store.cases.head()
    return {
        "collector": collector,
        "generation": store.gateways.generation(),
        "workers": [_worker(each) for each in store.workers()],
        "gateways": [_gateway(store, contact, counters) for contact in store.gateways.contacts()],
        "refused": refused,
        "cases": [case_shown(each) for each in store.cases.all()],
        "open_cases": sum(1 for each in store.cases.all() if each.closed_ms is None),
        "journal_head": None if head is None else head.hex(),
        "journal_broken_at": store.cases.first_bad_line(),
    }


def case_shown(case: Case) -> dict[str, object]:
    """An incident."""
    return {
        "n": case.n,
        "gateway": case.gateway or None,
        "kind": case.kind,
        "subject": case.subject.hex(),
        "facts": case.facts,
        "opened": utc(case.opened_ms),
        "closed": None if case.closed_ms is None else utc(case.closed_ms),
        "who": case.who,
        "why": case.why,
    }


def _worker(each: Seated) -> dict[str, object]:
    since = None if each.since_ms is None else utc(each.since_ms)
    return {"worker": str(each.seat), "shares": list(each.shares), "since": since}


def refusals(store: Store) -> list[dict[str, object]]:
    """The bounded ring, oldest first."""
    return [_kept(n, each) for n, each in store.ring.kept()]


def events(store: Store, gateway: str | None) -> list[dict[str, object]]:
    """All records beside the readings, in the order of their batches' places."""
    return [
        {
            "gateway": row.place.gateway,
            "epoch": row.place.epoch.hex(),
            "seq": row.place.seq,
            "batch": row.place.batch.hex(),
            "leaf": row.place.leaf,
            "record": KINDS.get(row.kind, str(row.kind)),
            **record_shown(row.sealed),
        }
        for row in store.readings.records(gateway)
    ]


def _gateway(store: Store, contact: Contact, counters: dict[tuple[str, str], int]) -> dict[str, object]:
    name = contact.name
    facts = store.evidence.facts(name)
    judged = judge(facts).epochs
    by_epoch = {each.epoch: each for each in facts}
    readings, conflicts = store.readings.counts(name)
    counts = store.evidence.counts(name)
    keys = store.gateways.register()[name].keys
    return {
        "gateway": name,
        "state": "silent" if contact.contact_ms is None else "heard",
        "registered": utc(contact.registered_ms),
        "last_contact": None if contact.contact_ms is None else utc(contact.contact_ms),
        "last_hello": None if contact.hello_ms is None else utc(contact.hello_ms),
        "hello_clock": _clock(contact.hello_clock),
        "unsigned_status": contact.status,
        "ack_number": contact.ack_number,
        "stored": counts["decoded"] + counts["undecoded"],
        "undecoded": counts["undecoded"],
        "held": store.cases.held(name),
        "readings": readings,
        "conflicts": conflicts,
        "counters": {key: value for (gateway, key), value in counters.items() if gateway == name},
        "keys": [
            {"key": key.hex(), "state": each.state, "fingerprint": fingerprint(each.key.octets)}
            for key, each in keys.items()
        ],
        "epochs": [
            {
                "epoch": each.epoch.hex(),
                "state": each.state.value,
                "closed_at": each.end,
                "complete": each.complete,
                "gaps": [list(gap) for gap in each.gaps],
                "stored": [list(run) for run in by_epoch[each.epoch].stored] if each.epoch in by_epoch else [],
                "lost": [list(run) for run in by_epoch[each.epoch].lost] if each.epoch in by_epoch else [],
            }
            for each in judged.values()
        ],
    }


def _clock(packed: bytes | None) -> dict[str, object] | None:
    if packed is None:
        return None
    clock = ClockShown.from_wire(unpack(packed, CLOCK_BYTES, "clock"), "store")
    return {
        "state": clock.state.name.lower(),
        "source": clock.source.name.lower(),
        "offset_ms": clock.offset_ms,
        "uncertainty_ms": clock.uncertainty_ms,
        "since": None if clock.since_ms is None else clock.since_ms,
        "boot": clock.boot.hex(),
    }


def _kept(n: int, each: Kept) -> dict[str, object]:
    return {
        "n": n,
        "at": utc(each.at_ms),
        "gateway": each.gateway or None,
        "kind": each.kind,
        "code": each.code,
        "message": each.message,
        "sha256": each.digest.hex(),
        "bytes": each.size,
        "head": each.head.hex(),
    }
