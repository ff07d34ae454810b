"""The demo: a whole site on this machine, its page, and a story to watch there, until somebody ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulators.site import tamper
from simulators.site.parts import PartError
from simulators.site.say import Say
from simulators.site.setup import GATEWAY, SLOW_DEVICE, Site

FIRST_S = 30.0  # the first reading must be stored by then
WAIT_S = 90.0  # what a step waits for must have come by then; the gateway tries its link once a minute at least
FOREVER_S = 3600.0
LOOK_S = 1.0  # between two looks at what is stored


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the story takes, in seconds: before its first step, in each step, and between two."""

    begin_s: float = 20.0
    cut_s: float = 20.0
    flip_s: float = 20.0
    between_s: float = 10.0


async def demo(site: Site, say: Say, pace: Pace, once: bool) -> None:
    """Set the site up, start it, tell its story; with `once` it ends there, else it runs until it is cancelled.

    Raises:
        PartError: a part ended by itself, or something did not happen in its time.
    """
    began = time.monotonic()
    say.line("Plomba: six simulated meters, a gateway, a broker and a collector, all on this machine.")
    say.line()
    say.progress("  making keys and certificates ...")
    await site.set_up()
    say.line(f"  every party has made its own keys and certificates  {_since(began)}")
    try:
        say.progress("  starting ...")
        await site.start()
        say.progress("  waiting for the first reading ...")
        await _first(site)
        say.line(f"  the first reading is read, sealed, sent, verified and stored  {_since(began)}")
        say.line()
        say.line(f"  The page:  {site.page}        (Ctrl-C ends the demo and leaves nothing behind)")
        say.line()
        await _story(site, say, pace)
        if not once:
            await _go_on(site, say)
    finally:
        say.progress("  stopping ...")
        await asyncio.shield(asyncio.ensure_future(site.stop()))
        say.line("  everything is stopped")


async def _story(site: Site, say: Say, pace: Pace) -> None:
    say.line("  Watch the page while this happens:")
    await _watch(site, say, pace.begin_s)
    await _cut(site, say, pace)
    await _watch(site, say, pace.between_s)
    await _forge(site, say)
    await _watch(site, say, pace.between_s)
    await _flip(site, say, pace)
    say.line("  That is the story. The site goes on; look around:")
    for text in _commands(site):
        say.line(f"    {text}")


async def _cut(site: Site, say: Say, pace: Pace) -> None:
    """The link is cut: nothing arrives, nothing is lost."""
    before = await site.seen()
    say.line(f"  1. The link to the collector is cut for {pace.cut_s:.0f} s. The gateway reads and seals on.")
    site.link.cut()
    until = time.monotonic() + pace.cut_s
    most = 0
    while time.monotonic() < until:
        most = max(most, (await site.not_stored()).readings)
        say.progress(f"     {most} readings wait on the gateway, sealed; the page shows the last contact")
        await asyncio.sleep(LOOK_S)
    site.link.mend()
    say.progress("     the link is back; the gateway tries it again within a minute ...")
    await _until(lambda: _drained(site), "the gateway knows everything to be stored")
    after = await site.seen()
    if after.gaps or after.conflicts:
        raise PartError(f"expected nothing lost, got {after.gaps} batches missing, {after.conflicts} conflicts")
    came = after.readings - before.readings
    say.line(f"     It is back: {came} readings came since the cut, up to {most} of them waited; no batch is missing.")


async def _forge(site: Site, say: Say) -> None:
    """A message with a flipped byte is refused by name."""
    say.line("  2. Somebody with the gateway's own TLS key sends a batch again, with one bit turned on the way.")
    refused = (await site.seen()).refused
    exported = await site.export_newest()
    await tamper.send(tamper.spoiled(exported), GATEWAY, site.folder / "gateway" / "keys", site.broker_port)
    await _until(lambda: _more(site, refused), "the collector refuses the forged batch")
    say.line("     Refused, and shown under Refusals with its code: nothing of it is stored.")


async def _flip(site: Site, say: Say, pace: Pace) -> None:
    """A stored reading is altered: its seal no longer holds."""
    store = site.folder / "collector" / "collector.sqlite3"
    say.line(f"  3. Somebody turns one bit of a stored reading of {SLOW_DEVICE!r} in the collector's database.")
    last = tamper.newest(store, SLOW_DEVICE)
    say.progress("     waiting for a fresh reading to alter ...")
    await _until(lambda: _newer(site, last), f"a reading of {SLOW_DEVICE} comes")
    flipped = tamper.flip_newest(store, SLOW_DEVICE)
    await _until(lambda: _altered(site, True), "the collector names the altered reading")
    until = time.monotonic() + pace.flip_s
    while (left := until - time.monotonic()) > 0:
        say.progress(f"     the page says that it is not what was sealed; put back in {left:.0f} s")
        await asyncio.sleep(min(LOOK_S, left))
    tamper.put_back(store, flipped)
    await _until(lambda: _altered(site, False), "every seal holds again")
    say.line("     It was named as altered; now the bit is put back, and its seal holds again.")


async def _go_on(site: Site, say: Say) -> None:
    while True:
        await _watch(site, say, FOREVER_S)


async def _watch(site: Site, say: Say, seconds: float) -> None:
    """Show what the collector says while time passes."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        site.check_alive()
        seen = await site.seen()
        say.progress(f"     {seen.readings} readings stored; {seen.statement}")
        await asyncio.sleep(min(LOOK_S, left))


async def _first(site: Site) -> None:
    until = time.monotonic() + FIRST_S
    while not (await site.seen()).readings:
        site.check_alive()
        if time.monotonic() > until:
            raise PartError(f"no reading was stored within {FIRST_S:.0f} s: see the logs in {site.folder}")
        await asyncio.sleep(0.1)


async def _until(done: Callable[[], Awaitable[bool]], what: str) -> None:
    until = time.monotonic() + WAIT_S
    while not await done():
        if time.monotonic() > until:
            raise PartError(f"expected that {what} within {WAIT_S:.0f} s, got nothing of the kind")
        await asyncio.sleep(0.3)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:4.1f} s"


def _commands(site: Site) -> list[str]:
    gateway, collector = site.folder / "gateway" / "gateway.toml", site.folder / "collector" / "collector.toml"
    return [
        f".venv/bin/plomba-gateway check --config {gateway}",
        f".venv/bin/plomba-gateway status --config {gateway}",
        f".venv/bin/plomba-collector readings --config {collector}",
        f".venv/bin/plomba-collector events --config {collector}",
    ]


async def _drained(site: Site) -> bool:
    return not (await site.not_stored()).batches


async def _more(site: Site, than: int) -> bool:
    return (await site.seen()).refused > than


async def _altered(site: Site, wanted: bool) -> bool:
    return bool((await site.seen()).altered) is wanted


async def _newer(site: Site, than_ms: int) -> bool:
    return tamper.newest(site.folder / "collector" / "collector.sqlite3", SLOW_DEVICE) > than_ms
