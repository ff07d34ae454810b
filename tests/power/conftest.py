"""A site that is set up once; every test starts it anew, on disks of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from power import Disks
from power_site import PowerSite, prepare

from simulators.site.setup import Site


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Keys, certificates and configurations of one site."""
    return asyncio.run(prepare(tmp_path_factory.mktemp("power") / "site"))


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    """Disks of this test's own, where they can be had."""
    made = Disks(tmp_path)
    try:
        made.make(tmp_path / "probe").unmount()
    except PermissionError as error:
        pytest.skip(str(error))
    yield made
    made.remove()


@pytest.fixture
async def site(prepared: Site, disks: Disks, tmp_path: Path) -> AsyncIterator[PowerSite]:
    """A site that has not run yet; its processes end before the disks go, whatever happens."""
    del disks
    made = PowerSite(prepared, tmp_path / "scratch")
    yield made
    await made.close()
