"""broker-check is green on what we generate and red on what somebody opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import Broker, make_party

from collector.authority import Authority, Role
from collector.brokercheck import CheckResult, CheckTarget, broker_check
from protocols.transports.mqtt import connect
from protocols.transports.pipe import ConnectError
from protocols.transports.tls import client_context, diagnose


def target(broker: Broker) -> CheckTarget:
    """The site's collector and its two gateways at this broker."""
    one, two = broker.site.gateways
    return CheckTarget(broker.pipe(broker.site.collector), broker.pipe(one), one.name, broker.pipe(two), two.name)


def failed(results: list[CheckResult]) -> set[str]:
    """The names of the attempts that did not end as they must."""
    return {result.name for result in results if not result.ok}


def opened(broker: Broker) -> None:
    """Give gateway-1 the run of the broker, as a careless hand would."""
    if broker.kind == "nats":
        text = broker.config.read_text()
        start = text.index("permissions", text.index("CN=gateway-1"))
        end = text.index("\n      }\n", start) + len("\n      }\n")
        broker.config.write_text(text[:start] + text[end:])
    else:
        broker.acl.write_text(broker.acl.read_text().replace("user gateway-1\n", "user gateway-1\ntopic readwrite #\n"))


async def test_what_we_generate_passes_every_check(broker: Broker) -> None:
    """All that must fail fails, all that must work works."""
    results = await broker_check(target(broker))
    assert failed(results) == set()
    assert len(results) == 12


async def test_an_opened_broker_fails_the_checks_that_it_breaks(broker: Broker) -> None:
    """Each door that was opened is named, and no other."""
    opened(broker)
    broker.reload()
    assert failed(await broker_check(target(broker))) == {
        "a gateway writes on another gateway's topics",
        "a gateway writes on down topics",
        "a gateway leaves a last will on another gateway's topics",
        "a gateway reads another gateway's topics",
        "a gateway reads by wildcard",
    }


async def test_a_broker_that_is_not_there_passes_nothing(broker: Broker) -> None:
    """Silence is not a refusal."""
    whom = target(broker)
    broker.process.stop()
    results = await broker_check(whom)
    assert [result for result in results if result.ok] == []


async def test_a_client_without_certificate_is_refused_in_words(broker: Broker) -> None:
    """The error says what is missing instead of "Operation timed out"."""
    with pytest.raises(ConnectError, match="demands a client certificate"):
        async with connect(broker.pipe(None)):
            pass


async def test_a_client_of_a_foreign_authority_is_refused_in_words(broker: Broker, tmp_path: Path) -> None:
    """Our name, somebody else's signature."""
    foreign = Authority.create(tmp_path / "foreign", "Foreign authority")
    thief = make_party(foreign, tmp_path, "gateway-1", Role.GATEWAY)
    with pytest.raises(ConnectError, match="our certificate"):
        async with connect(broker.pipe(thief)):
            pass


async def test_an_expired_client_is_refused_in_words(broker: Broker, tmp_path: Path) -> None:
    """L07: the words lead to renewal, not to the cabling."""
    expired = make_party(broker.site.authority, tmp_path, "gateway-1", Role.GATEWAY, days=0)
    with pytest.raises(ConnectError, match="our certificate"):
        async with connect(broker.pipe(expired)):
            pass


async def test_a_healthy_broker_needs_no_words(broker: Broker) -> None:
    """The diagnosis says nothing where TLS works."""
    party = broker.site.gateways[0]
    context = client_context(broker.site.ca, party.certificate, party.key)
    assert diagnose("localhost", broker.port, context) is None
