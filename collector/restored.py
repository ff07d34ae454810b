"""Notice that this collector is an older copy of itself: a gateway shows a word of ours that we do not remember.

A hello carries the last acknowledgement that the gateway accepted, with our signature. When its (generation, number) is
above ours, or when, in the current generation, it names a batch or a head of the journal that is not here, then the
store was restored without being told so. The generation rises: gateways forget all marks and offer all they hold; no
batch is called safe until an operator closes the case.
"""

from __future__ import annotations

from collector.store.cases import NOBODY, Case
from collector.store.interface import Store
from protocols.uplink.acknowledgement import Acknowledgement

RESTORED = "restored"


def notice_restore(store: Store, last: Acknowledgement, now_ms: int) -> Case | None:
    """The case that was opened for it, or None; call it inside a transaction, with a word that bears our signature."""
    ours = (store.gateways.generation(), store.gateways.number(last.gateway))
    if last.order <= ours and not (last.generation == ours[0] and _unknown(store, last)):
        return None
    facts = f"{last.gateway} shows {last.generation}/{last.number}, here {ours[0]}/{ours[1]}"
    case, new = _begin(store, max(last.generation, ours[0]) + 1, facts, now_ms)
    return case if new else None


def begin_anew(store: Store, why: str, now_ms: int) -> int:
    """The generation that begins because a person restored this store; call it inside a transaction."""
    generation = store.gateways.generation() + 1
    _begin(store, generation, why, now_ms)
    return generation


def _begin(store: Store, generation: int, why: str, now_ms: int) -> tuple[Case | None, bool]:
    store.gateways.set_generation(generation)
    store.cases.write(f"generation {generation}: {why}", now_ms)
    return store.cases.report(NOBODY, RESTORED, b"", f"generation {generation}", now_ms)


def _unknown(store: Store, last: Acknowledgement) -> bool:
    """Whether it names something that is not here."""
    named = {each.id for each in (*last.stored, *last.safe)}
    if any(not store.evidence.has(last.gateway, batch) for batch in named):
        return True
    return last.audit_head is not None and not store.cases.has_head(last.audit_head)
