"""Numbers for Prometheus, made at each scrape from the store; a registry of its own, nothing of the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.expose import views
from collector.expose.health import Health
from collector.expose.overview import refused
from collector.expose.queries import Look

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SILENT = "Meters silent for more than twice the usual distance of their slots, and at least 30 s."
UNATTRIBUTED = "Meters in another one's place, or (newcomer 1) found where one is silent, attributed to nobody."
GATEWAYS = 1_000  # series of gateways at the most


def metrics_text(look: Look, health: Health) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(_Numbers(look, health))
    return generate_latest(registry)


class _Numbers(Collector):
    """What is scraped."""

    def __init__(self, look: Look, health: Health) -> None:
        self._look = look
        self._health = health

    def describe(self) -> list[Metric]:
        """Nothing in advance: the store is asked once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families."""
        common = self._look.common
        gateways = self._look.gateways("", GATEWAYS).gateways
        yield from _by_gateway(gateways)
        counter = CounterMetricFamily(
            "plomba_messages_refused", "Messages that were refused, by error code.", labels=["code"]
        )
        for code, value in refused(common).items():
            counter.add_metric([code], value)
        yield counter
        cases = GaugeMetricFamily("plomba_cases_open", "Incidents an operator must decide on.", labels=["kind"])
        for kind, count in self._look.store.cases.open_by_kind().items():
            cases.add_metric([kind], count)
        yield cases
        yield _one("plomba_meters", "Meters that readings are stored of.", self._look.store.series.meters())
        never, conflicts = len(self._look.troubles.never), self._look.store.readings.in_conflict()
        late = len(self._look.late(list(common.times)))
        yield _one("plomba_devices_never_read", "Devices configured or failing, without any reading.", never)
        yield _one("plomba_readings_in_conflict", "Readings that came twice and differ.", conflicts)
        yield _one("plomba_meters_late", SILENT, late)
        nobodys = GaugeMetricFamily("plomba_meters_unattributed", UNATTRIBUTED, labels=["gateway", "newcomer"])
        for (gateway, newcomer), count in sorted(
            Counter((each.gateway, str(int(each.newcomer))) for each in self._look.troubles.strangers).items()
        ):
            nobodys.add_metric([gateway, newcomer], count)
        yield nobodys
        ready = int(not self._health.reasons())
        yield _one("plomba_ready", "1 when the broker is linked and the store takes batches.", ready)


def _by_gateway(gateways: tuple[views.GatewayView, ...]) -> Iterator[Metric]:
    for name, text, what in (
        ("plomba_readings_stored", "Readings stored, by the gateway that they came from.", "readings"),
        ("plomba_batches_stored", "Batches stored.", "stored"),
    ):
        counter = CounterMetricFamily(name, text, labels=["gateway"])
        for each in gateways:
            counter.add_metric([each.name], getattr(each, what))
        yield counter
    for name, text, what in (
        ("plomba_devices_failing", "Devices a gateway reports as failing, with those on a failed bus.", "failing"),
        ("plomba_buses_failing", "Buses a gateway reports as failed.", "buses_failing"),
        ("plomba_batches_held", "Batches held from billing.", "held"),
        ("plomba_batches_undecoded", "Batches stored that cannot be decoded.", "undecoded"),
        ("plomba_batches_missing", "Batches known to exist, neither stored nor declared lost.", "gaps"),
        ("plomba_gateway_contact_age_seconds", "Seconds since a gateway was last heard.", "age_s"),
    ):
        gauge = GaugeMetricFamily(name, text, labels=["gateway"])
        for each in gateways:
            if getattr(each, what) is not None:
                gauge.add_metric([each.name], getattr(each, what))
        yield gauge
    waiting = "Batches a gateway held at its last hello that are not stored here yet."
    backlog = GaugeMetricFamily("plomba_gateway_backlog_batches", waiting, labels=["gateway"])
    for each in gateways:
        if each.backlog is not None:
            backlog.add_metric([each.name], each.backlog.batches)
    yield backlog


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
