"""Which faults bring each planted mistake to light, and in how many seeds the bench must have found it."""

from __future__ import annotations

SEEDS = 4  # tried at most, one after the other
DAYS, GATEWAYS = 0.6, 2
CRAMPED = frozenset({"unstored-removed"})  # found in houses whose buffers have hardly any room
SEASONS: dict[str, tuple[str, ...]] = {
    "removed-on-puback": ("loses",),
    "buffer-synchronous-normal": ("gateway-cut",),
    "store-synchronous-normal": ("collector-cut",),
    "acknowledged-before-commit": ("collector-cut",),
    "no-deduplication": ("repeats", "replay"),
    "batches-not-verified": ("forge",),
    "acknowledgements-not-verified": ("forge-ack",),
    "no-checksum": ("meters-garbled",),
    "no-identity-check": ("meter-swapped",),
    "row-by-our-clock": (),
    "row-skipped": (),
    "epoch-goes-on": ("gateway-rollback",),
    "unstored-removed": ("link-long",),
    "conflict-not-named": ("gateway-clone", "gateway-rollback"),
    "registers-of-the-visit-before": (),
    "start-refused-after-a-kill": ("gateway-kill",),
    "restore-unnoticed": ("collector-restore",),
    "slots-not-settled": ("gateway-kill",),
    "never-sent-again": ("loses",),
    "lost-in-silence": ("gateway-rot-bit", "link-down", "link-long"),
    "unset-clock-called-good": ("gateway-1970",),
    "frame-count-bit-stands": (),
    "power-of-ten-lost": (),
    "sent-before-commit": ("gateway-cut",),
    "forgotten-when-not-written": ("gateway-disk-full",),
}
