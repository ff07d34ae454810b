"""Close a case: an operator's decision, journalled, that releases what it held."""

from __future__ import annotations

from collector.faults import NotFoundError
from collector.store.cases import Case
from collector.store.interface import Store


def close(store: Store, number: int, who: str, why: str, now_ms: int) -> Case:
    """Close an open case; closing one about a configuration approves that configuration.

    Raises:
        NotFoundError: no such open case.
    """
    with store.transaction():
        case = store.cases.close(number, who, why, now_ms)
        if case is None:
            raise NotFoundError("the number of an open case", f"{number}", "the store")
        if case.kind == "config":
            store.gateways.approve(case.gateway, case.subject, now_ms)
    return case
