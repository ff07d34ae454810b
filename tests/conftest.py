"""Fixtures that any test may ask for: a site's certificates and real servers, each with a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Postgresql, find_bin
from servers import Broker, SiteTls, find_program, make_site

PROGRAMS = {"nats": "nats-server", "mosquitto": "mosquitto"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What runs the whole system begins first, a share of it with each worker: at the end nobody waits for one."""
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    slow = [each for each in items if each.get_closest_marker("slow")]
    rest = [each for each in items if not each.get_closest_marker("slow")]
    share = -(-len(rest) // workers)
    items[:] = [each for n in range(workers) for each in (*slow[n::workers], *rest[n * share : (n + 1) * share])]


@pytest.fixture(scope="session")
def site_tls(tmp_path_factory: pytest.TempPathFactory) -> SiteTls:
    """An authority, and certificates for the broker "localhost", a collector and two gateways."""
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.broker) for kind in PROGRAMS])
def broker(request: pytest.FixtureRequest, tmp_path: Path, site_tls: SiteTls) -> Iterator[Broker]:
    """A running broker with the site's three identities, once for each kind that is installed."""
    kind: str = request.param
    if find_program(PROGRAMS[kind]) is None:
        pytest.skip(f"{PROGRAMS[kind]} is not installed: run make services")
    running = Broker(kind, tmp_path, site_tls)
    running.process.start()
    yield running
    running.process.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A running PostgreSQL cluster of its own, with Debian's default durability."""
    programs = find_bin()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: run make services")
    cluster = Postgresql(programs)
    cluster.process.start()
    yield cluster
    cluster.remove()
