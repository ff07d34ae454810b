"""Which faults bring each planted mistake to light, and in how many seeds the bench must have found it."""

from __future__ import annotations

SEEDS = 4  # tried at most, one after the other
DAYS, CRAMPED_DAYS, GATEWAYS = 0.6, 0.8, 2
# found in houses whose buffers have hardly any room, and whose load profiles are read every hour
CRAMPED = frozenset(
    {
        "unstored-removed",
        "refused-rows-forgotten",
        "refused-in-silence",
        "stored-kept-when-full",
        "position-before-commit",
        "no-frame-check",
    }
)
CALM = frozenset(
    {"refused-rows-forgotten", "position-before-commit", "no-frame-check"}
)  # no other faults than those of the season
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
    "stand-of-another-day": (),
    "sent-before-commit": ("gateway-cut",),
    "forgotten-when-not-written": ("gateway-disk-full",),
    "every-reading-kept-in-memory": (),
    "conflict-swallowed": ("gateway-rollback",),
    "first-content-not-marked": ("gateway-rollback", "gateway-clone"),
    "ring-without-limit": ("flip", "forge", "replay"),
    "two-ids-not-noticed": ("gateway-twin",),
    "case-without-hold": ("gateway-twin", "gateway-clone"),
    "body-hash-unchecked": ("forge", "link-long"),
    "hellos-not-verified": ("forge",),
    "marked-by-number": ("gateway-twin", "loses", "link-long"),
    "refused-rows-forgotten": ("link-long",),
    "refused-in-silence": ("link-long",),
    "stored-kept-when-full": ("link-long",),
    "position-before-commit": ("gateway-cut-io",),
    "no-identity-check-of-electricity-meters": ("dlms-swapped",),
    "no-frame-check": ("dlms-garbled",),
    "doubtful-row-called-ok": (),
    "clock-set-in-silence": ("gateway-1970",),
    "status-not-looked-at": (),
    "own-time-made-up": (),
    "epoch-goes-on-beside-another": ("gateway-twin",),
    "old-word-taken": ("replay",),
    "gaps-not-told": (),
    "orphans-go-to-billing": ("gateway-wiped",),
    "records-not-stored": (),
    "another-name-taken": ("forge",),
}
