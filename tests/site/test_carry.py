"""A link that stays dead: batches and acknowledgements go by hand, with the commands that people use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulators.site.parts import Done, program, run
from simulators.site.setup import Site

GATEWAY = ("--config", "gateway/gateway.toml")
COLLECTOR = ("--config", "collector/collector.toml")
ENOUGH = 6  # batches

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Meters and a gateway that is enrolled; no broker and no collector runs."""
    found = Site(tmp_path / "run")
    await found.set_up()
    await found.part("meters").start()
    await found.part("gateway").start()
    try:
        await waiting(found, ENOUGH)
        yield found
    finally:
        await found.stop()


async def waiting(site: Site, batches: int) -> int:
    """How many batches wait on the gateway, as soon as there are so many."""
    status = ("status", "--json", *GATEWAY)
    while True:
        site.check_alive()
        done = await run(program("plomba-gateway"), *status, folder=site.folder, accepted=(0, 1))  # 1: no buffer yet
        if done.code == 0 and (count := int(json.loads(done.data)["not_stored"])) >= batches:
            return count
        await asyncio.sleep(0.5)


async def gateway(site: Site, *arguments: str, accepted: tuple[int, ...] = (0,)) -> Done:
    """What `plomba-gateway buffer ...` says."""
    return await run(program("plomba-gateway"), "buffer", *arguments, *GATEWAY, folder=site.folder, accepted=accepted)


async def collector(site: Site, *arguments: str, accepted: tuple[int, ...] = (0,)) -> Done:
    """What `plomba-collector ...` says."""
    return await run(program("plomba-collector"), *arguments, *COLLECTOR, folder=site.folder, accepted=accepted)


async def shown(done: Done) -> Any:
    """Its data."""
    return json.loads(done.data)


async def test_what_is_carried_is_stored_once_and_acknowledged(site: Site) -> None:
    """Beside a daemon that runs; a file that is given twice changes nothing; afterwards only what is new is written."""
    written = await shown(await gateway(site, "export", "--out", "stick", "--json"))
    assert written["batches"] >= ENOUGH
    assert (await shown(await gateway(site, "verify", "--json")))["wrong"] == []
    for known in (0, written["batches"]):
        (found,) = await shown(await collector(site, "import-batches", "stick", "--json"))
        assert (found["packets"], found["known"]) == (written["batches"], known)
        assert (found["stored"], found["problems"]) == (written["batches"] - known, [])
    assert len({json.dumps(each) for each in await site.readings()}) == await site.stored_count() > 0
    taken = await shown(await gateway(site, "acknowledge", "stick.ack", "--json"))
    assert (taken["stored"], taken["safe"], taken["refused"]) == (written["batches"], 0, 0)
    again = await gateway(site, "acknowledge", "stick.ack", accepted=(1,))
    assert "PLB-X107" in again.talk  # it is not above the last
    await waiting(site, 1)
    newer = await shown(await gateway(site, "export", "--out", "newer", "--json"))
    assert 0 < newer["batches"] <= await _held(site) - written["batches"]


async def test_without_a_daemon_the_commands_do_it_themselves(site: Site) -> None:
    """The marks are there at the next start: nothing is sent again, and nothing that is new is forgotten."""
    await site.part("gateway").stop()
    written = await shown(await gateway(site, "export", "--out", "stick", "--json"))
    await collector(site, "import-batches", "stick")
    taken = await shown(await gateway(site, "acknowledge", "stick.ack", "--json"))
    assert taken["stored"] == written["batches"] == await _held(site)
    nothing = await gateway(site, "export", "--out", "more", accepted=(1,))
    assert "PLB-C231" in nothing.talk
    await site.part("gateway").start()
    count = await waiting(site, 1)
    assert count <= await _held(site) - written["batches"]


async def test_what_is_damaged_on_the_way_is_named_and_the_rest_stored(site: Site) -> None:
    """A stick that was pulled out too early, and one byte that is wrong."""
    await site.part("gateway").stop()
    written = await shown(await gateway(site, "export", "--out", "stick", "--json"))
    stick = site.folder / "stick"
    whole = stick.read_bytes()
    stick.write_bytes(whole[:-1])
    done = await collector(site, "import-batches", "stick", "--json", accepted=(3,))
    assert "PLB-C103" in done.talk
    assert "copy a file that is cut off again" in done.talk
    (found,) = await shown(done)
    assert found["stored"] == written["batches"] - 1
    stick.write_bytes(whole[:-9] + bytes((whole[-9] ^ 1,)) + whole[-8:])
    (found,) = await shown(await collector(site, "import-batches", "stick", "--json", accepted=(3,)))
    assert (found["stored"], found["known"], sum(found["refused"].values())) == (0, written["batches"] - 1, 1)
    taken = await shown(await gateway(site, "acknowledge", "stick.ack", "--json"))
    assert taken["stored"] == written["batches"] - 1
    assert (await site.not_stored()).batches == 1
    wrong = await gateway(site, "acknowledge", "stick", accepted=(1,))
    assert "expected acknowledgements for" in wrong.talk


async def _held(site: Site) -> int:
    done = await run(program("plomba-gateway"), "batches", "--json", *GATEWAY, folder=site.folder)
    return len(json.loads(done.data))
