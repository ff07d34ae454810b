"""What the generators write, and what they refuse to write."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from servers import Broker

from collector.authority import Role
from collector.broker import (
    BrokerIdentity,
    BrokerPathError,
    BrokerSettings,
    IdentityError,
    mosquitto_config,
    nats_config,
)
from protocols.transports.pipe import Backoff
from protocols.uplink import topics

PLACE = Path("/srv/plomba")
SETTINGS = BrokerSettings("0.0.0.0", 8883, PLACE / "ca.pem", PLACE / "b.pem", PLACE / "b.key", PLACE / "store")  # noqa: S104
COLLECTOR = BrokerIdentity("collector", Role.COLLECTOR)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 33,
        "Gateway",
        "gate way",
        "gate.way",
        "gate/way",
        "g+1",
        "g#1",
        "g\n1x",
        'g"1',
        "gä1",
        "gat\n",
        "%u1",
    ],
)
def test_a_name_that_does_not_fit_reaches_no_file(name: str) -> None:
    """No wildcards, dots, quotes or line ends in an access list."""
    identities = [BrokerIdentity(name, Role.GATEWAY)]
    with pytest.raises(IdentityError, match="PLB-C210"):
        nats_config(SETTINGS, identities)
    with pytest.raises(IdentityError, match="PLB-C210"):
        mosquitto_config(SETTINGS, identities, acl_file=PLACE / "acl")


def test_a_name_is_given_once() -> None:
    """A gateway called like the collector would inherit its rights."""
    with pytest.raises(IdentityError, match="collector twice"):
        nats_config(SETTINGS, [COLLECTOR, BrokerIdentity("collector", Role.GATEWAY)])


@pytest.mark.parametrize("path", ['/srv/"x', "/srv/x\nallow_anonymous true", "/srv/$HOME", "/srv/x#y", "/srv/x\\y"])
def test_a_path_that_says_more_than_a_path_is_refused(path: str) -> None:
    """Neither a second line nor a variable."""
    settings = BrokerSettings("localhost", 8883, Path(path), PLACE, PLACE, PLACE)
    with pytest.raises(BrokerPathError, match="PLB-C211"):
        nats_config(settings, [COLLECTOR])
    with pytest.raises(BrokerPathError, match="PLB-C211"):
        mosquitto_config(settings, [COLLECTOR], acl_file=PLACE / "acl")


def test_the_shard_of_a_gateway_is_for_ever() -> None:
    """SHA-256 of the name, first byte, low six bits: known answers."""
    assert topics.up("gateway-1", "hello") == "plomba/v1/21/gateway-1/up/hello"
    assert topics.up("gateway-2", "batch") == "plomba/v1/15/gateway-2/up/batch"


def test_the_list_does_not_depend_on_the_order_of_its_input() -> None:
    """A rewritten file differs only when the identities do."""
    identities = [COLLECTOR, *(BrokerIdentity(f"gateway-{n}", Role.GATEWAY) for n in range(20))]
    shuffled = random.Random(7).sample(identities, len(identities))
    assert nats_config(SETTINGS, identities) == nats_config(SETTINGS, shuffled)


def test_configurations_are_not_for_everybody_to_read(broker: Broker) -> None:
    """Mode 0640, and nothing half-written stays behind."""
    assert broker.config.stat().st_mode & 0o777 == 0o640
    assert list(broker.folder.glob("*.new")) == []


def test_backoff_doubles_to_its_cap_and_jitters_fully() -> None:
    """The upper ends are 1, 2, 4, ... 60 s; the wait is any part of them; a reset starts again."""
    ceilings = Backoff(lambda _low, high: high)
    assert [ceilings.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    ceilings.reset()
    assert ceilings.next_s() == 1
    jittered = Backoff(random.Random(1).uniform)
    waits = [jittered.next_s() for _ in range(2000)][7:]
    assert min(waits) < 1
    assert max(waits) > 59
    assert 28 < sum(waits) / len(waits) < 32
