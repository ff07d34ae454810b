"""The API: exact, bounded, read-only, and only under its own name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from chain import NOW_MS, Bench, reading
from hypothesis import given, settings
from pages import SLOT_MS, Served, heat

from collector.config import Config
from collector.expose.guard import POLICY
from collector.expose.page import HTMX, grouped
from collector.faults import ConfigFileError
from protocols.errors import PlombaError
from protocols.reading import Status

HTMX_SHA256 = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"  # dist/htmx.min.js of htmx.org 2.0.11
Operation = schemathesis.APIOperation[Any, Any, Any, Any]
EXAMPLES = 25  # requests tried for each operation


def flip(bench: Bench, how: int = 0) -> None:
    """One bit of the newest stored reading of a kind."""
    sql = bench.store._connection
    row = sql.execute("SELECT sealed FROM reading WHERE how = ? ORDER BY at_ms DESC LIMIT 1", (how,)).fetchone()
    flipped = bytearray(row[0])
    flipped[len(flipped) // 2] ^= 1
    sql.execute("UPDATE reading SET sealed = ? WHERE sealed = ?", (bytes(flipped), row[0]))


def test_the_description_holds_for_whatever_is_asked(served: Served) -> None:
    """Schemathesis: no server error, every answer as described, the same requests each time."""
    schema = schemathesis.openapi.from_dict(served.json("/api/openapi.json"))
    tried = []
    for found in schema.get_all_operations():
        operation: Operation = found.ok()  # type: ignore[union-attr] # ours has no error
        tried.append(operation.path)
        _try(operation, served.url.rstrip("/"))
    assert len(tried) == 13
    assert "/api/v1/meters/{meter}/readings" in tried


def _try(operation: Operation, url: str) -> None:
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(base_url=url)

    check()


def test_every_value_has_unit_state_and_proof(served: Served) -> None:
    """And a decimal text for a number, never a float."""
    shown = served.json("/api/v1/meters")["meters"]
    assert sorted(each["device"] for each in shown) == [
        "flat-3",
        "flat-4",
        "heat-attic",
        "heat-cellar",
        "main-supply",
        "pump-room",
    ]
    values = [value for each in shown for series in each["series"] for value in series["newest"]["values"]]
    assert len(values) == 4 * 10 + 4 + 1 + 3
    for value in values:
        assert isinstance(value["value"], str)
        assert value["state"] in ("ok", "error-state")
        batch, leaf = value["proof"].split(":")
        assert (len(batch), leaf.isdigit()) == (64, True)
    assert {each["seal"] for each in shown} == {"holds"}
    text = json.dumps(shown)
    assert "NaN" not in text
    assert ".0," not in text


def test_a_flipped_byte_is_altered_on_the_page_and_in_json(served: Served, bench: Bench) -> None:
    """The verdict comes from the evidence, at each look."""
    assert served.json("/api/v1/status")["well"]
    flip(bench)
    found = served.json("/api/v1/status")
    assert (found["well"], found["altered"]) == (False, 1)
    assert "ALTERED" in found["statement"]
    page = served.ask("/")[2]
    assert "ALTERED: not what was sealed, do not use" in page
    assert [each["seal"] for each in served.json("/api/v1/meters")["meters"]].count("altered") == 1


def test_a_sealed_reading_in_anothers_place_is_altered(served: Served, bench: Bench) -> None:
    """A leaf whose seal holds does not stand for another meter's, nor an old one for the newest."""
    sql = bench.store._connection
    rows = sql.execute(
        "SELECT batch, leaf, sealed, epoch, seq FROM reading WHERE how = 0 ORDER BY meter, moment"
    ).fetchall()
    newest, older = rows[5], rows[4]
    sql.execute(
        "UPDATE reading SET batch = ?, leaf = ?, sealed = ?, epoch = ?, seq = ? WHERE sealed = ?", (*older, newest[2])
    )
    assert served.json("/api/v1/status")["altered"] == 1


def test_an_incident_of_the_collector_itself_is_said(served: Served, bench: Bench) -> None:
    """It belongs to no gateway's card."""
    with bench.store.transaction():
        bench.store.cases.report("", "restored", b"", "generation 2", bench.now_ms)
    found = served.json("/api/v1/status")
    assert found["statement"] == "this collector was restored from an older copy"
    assert found["open_cases"] == 1


def test_pages_of_readings_are_complete_and_without_repetition(served: Served) -> None:
    """Followed by `next`, each row comes once, the newest first."""
    meter = next(each for each in served.json("/api/v1/meters")["meters"] if each["device"] == "main-supply")
    for how, count in (("read", 6), ("profile", 6), ("push", 0)):
        found, before = [], ""
        for _ in range(5):
            page = served.json(f"/api/v1/meters/{meter['id']}/readings?how={how}&limit=2{before}")
            found += [each["slot"] or each["meter_time"]["shown"] for each in page["readings"]]
            if page["next"] is None:
                break
            before = f"&before={page['next'].replace(' ', '%20')}"
        assert (len(found), found) == (count, sorted(set(found), reverse=True))


def test_pages_of_meters_gateways_and_events_are_complete(served: Served) -> None:
    """Each comes once."""
    for path, name, count in (("meters", "id", 6), ("gateways", "name", 2), ("events", "proof", 4)):
        found: list[str] = []
        word, cursor = ("before" if path == "events" else "after"), ""
        while True:
            page = served.json(f"/api/v1/{path}?limit=1{cursor}")
            found += [each[name] for each in page[path]]
            if page["next"] is None:
                break
            cursor = f"&{word}={page['next']}"
        assert (len(found), len(set(found))) == (count, count)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/meters/0123456789abcdef", 404, "PLB-C315"),
        ("/api/v1/meters/nonsense", 422, "PLB-C311"),
        ("/api/v1/meters?limit=100000", 422, "PLB-C311"),
        ("/api/v1/meters/0123456789abcdef/readings?before=1", 422, "PLB-C311"),
        ("/api/v1/meters?from=2026-11-21", 422, "PLB-C311"),
        ("/api/v1/status?limit=3", 422, "PLB-C311"),
        ("/docs", 404, "PLB-C314"),
        ("/static/..%2fapp.py", 404, "PLB-C314"),
    ],
)
def test_errors_are_problems_with_a_code(served: Served, path: str, status: int, code: str) -> None:
    """What was expected, what came, what to do."""
    got, headers, text = served.ask(path)
    found = json.loads(text)
    assert (got, headers["content-type"]) == (status, "application/problem+json")
    assert (found["code"], found["status"]) == (code, status)
    assert found["expected"]
    assert found["do"] == PlombaError.registry[code].do


def test_an_unknown_parameter_is_named_with_the_known_ones(served: Served) -> None:
    """The nearest first: a slip of the pen never answers with other rows."""
    meter = served.json("/api/v1/meters")["meters"][0]["id"]
    status, _, text = served.ask(f"/api/v1/meters/{meter}/readings?how=read&limt=3")
    found = json.loads(text)
    assert (status, found["got"]) == (422, "'limt'")
    assert found["expected"] == "one of the parameters limit, how, before"


@pytest.mark.parametrize("path", ["/", "/fragment", "/api/v1/status", "/metrics", "/static/page.css", "/nowhere"])
def test_every_answer_carries_the_policy(served: Served, path: str) -> None:
    """The same strict one, and no cookie."""
    _, headers, _ = served.ask(path)
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("max-age=300" if "static" in path else "no-store")
    assert "set-cookie" not in headers
    assert POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_only_our_own_names_are_answered(bench: Bench, tmp_path: Path) -> None:
    """Another site's name that points here gets nothing; configured names and the loopback's do."""
    with Served(bench, tmp_path, ["meters.example"]) as site:
        port = site.http.port
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost@evil.example", ""):
            status, _, text = site.ask("/api/v1/meters", host)
            assert (status, json.loads(text)["code"]) == (400, "PLB-C312")
        for host in ("localhost", f"127.0.0.1:{port}", "[::1]:80", "meters.example", "METERS.example:443"):
            assert site.ask("/api/v1/meters", host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(served: Served, method: str) -> None:
    """Anything but reading is refused, wherever."""
    for path in ("/", "/api/v1/meters"):
        status, headers, text = served.ask(path, method=method)
        assert (status, headers["allow"], json.loads(text)["code"]) == (405, "GET, HEAD", "PLB-C313")


def test_head_is_get_without_a_body(served: Served) -> None:
    """Also for the API."""
    for path in ("/", "/api/v1/meters", "/healthz"):
        status, headers, text = served.ask(path, method="HEAD")
        assert (status, text) == (200, "")
        assert int(headers["content-length"]) > 0


def test_an_empty_store_is_shown_as_such(bench: Bench, tmp_path: Path) -> None:
    """Nothing came yet, and nothing is wrong with the page."""
    with Served(bench, tmp_path) as site:
        status, _, text = site.ask("/")
        assert status == 200
        assert "No reading has come yet." in text
        assert "2 gateways never heard yet: house-1, house-2" in site.json("/api/v1/status")["statement"]


def test_health_readiness_and_metrics(served: Served, bench: Bench) -> None:
    """The process answers; it is ready when linked and storing; the numbers are those of the page."""
    assert served.json("/healthz") == {"alive": True}
    assert served.json("/readyz") == {"ready": True, "reasons": []}
    bench.feed(b"noise")
    served.health.linked = False
    status, _, text = served.ask("/readyz")
    assert status == 503
    assert "expected a link to the broker" in json.loads(text)["reasons"][0]
    assert served.json("/api/v1/status")["statement"].startswith("expected a link to the broker")
    numbers = served.ask("/metrics")[2].splitlines()
    assert 'plomba_readings_stored_total{gateway="house-1"} 42.0' in numbers
    assert 'plomba_batches_stored_total{gateway="house-1"} 7.0' in numbers
    assert 'plomba_messages_refused_total{code="PLB-P101"} 1.0' in numbers
    assert 'plomba_gateway_contact_age_seconds{gateway="house-1"} 0.0' in numbers
    assert 'plomba_gateway_backlog_batches{gateway="house-1"} 0.0' in numbers
    assert {"plomba_meters 6.0", "plomba_meters_late 0.0", "plomba_ready 0.0"} <= set(numbers)
    assert all(line.split()[2].startswith("plomba_") for line in numbers if line.startswith("# HELP"))


def test_a_store_that_is_gone_is_not_ready(served: Served, tmp_path: Path) -> None:
    """503 with a code, and the process still answers."""
    for each in tmp_path.glob("collector.sqlite3*"):
        each.rename(each.with_name("moved-" + each.name))
    for path in ("/readyz", "/api/v1/meters"):
        status, _, text = served.ask(path)
        assert (status, json.loads(text)["code"]) == (503, "PLB-S303")
    assert served.json("/healthz") == {"alive": True}


def test_late_meters_are_named_with_since_when(served: Served, bench: Bench) -> None:
    """Later than twice their usual distance; the gateway is silent then too."""
    bench.now_ms = NOW_MS + 5 * SLOT_MS + 2 * SLOT_MS - 1_000
    assert served.json("/api/v1/status")["late"] == 0
    bench.now_ms += 5_000
    found = served.json("/api/v1/status")
    assert found["late"] == 6
    meter = next(each for each in served.json("/api/v1/meters")["meters"] if each["device"] == "heat-attic")
    assert meter["late_since"] == "2026-09-21T15:58:20.500Z"
    assert "late since 2026-09-21 15:58:20 UTC" in served.ask("/")[2]


def test_two_hundred_meters_stay_bounded(bench: Bench, tmp_path: Path) -> None:
    """One query for each newest row and a few for each batch, whatever is stored beside; the page stays below 2 MB."""
    for slot in range(3):
        for start in range(0, 200, 50):
            bench.take(
                bench.chain.seal([reading(slot, meter, device=f"m-{meter}") for meter in range(start, start + 50)])
            )
    bench.now_ms = NOW_MS + 3 * SLOT_MS
    with Served(bench, tmp_path) as site:
        asked: list[str] = []
        found = site.json("/api/v1/status")
        assert found["meters"] == 200
        assert len(site.ask("/")[2]) < 2_000_000
        with site.site.look() as look:
            look.store._connection.set_trace_callback(asked.append)  # type: ignore[attr-defined] # to count
            assert len(look.meters("", 250).meters) == 200
    assert len(asked) < 3 * 200
    assert all("FROM reading r WHERE meter = " in each or "reading" not in each.split("FROM")[-1] for each in asked)


def test_what_a_hello_holds_and_is_not_stored_is_the_backlog(bench: Bench, tmp_path: Path) -> None:
    """It shrinks when the batches come."""
    from protocols.uplink.ranges import Range  # noqa: PLC0415

    chain = bench.chain
    sealed = [chain.seal([reading(slot)]) for slot in range(5)]
    bench.take(sealed[0])
    bench.greet(chain.hello([Range(chain.epoch, 1, 5, sealed[-1].id)]))
    with Served(bench, tmp_path) as site:
        assert site.json("/api/v1/gateways")["gateways"][0]["backlog"]["batches"] == 4
        bench.take(*sealed[1:4])
        assert site.json("/api/v1/gateways")["gateways"][0]["backlog"]["batches"] == 1


def test_a_last_will_is_shown_and_called_unsigned(served: Served, bench: Bench) -> None:
    """It decides nothing."""
    bench.feed(b"offline", kind="status")
    assert served.json("/api/v1/gateways")["gateways"][0]["state"] == "link down"
    assert "link down (unsigned)" in served.ask("/")[2]


def test_held_readings_and_status_bits_are_named(bench: Bench, tmp_path: Path) -> None:
    """Why, in words."""
    bench.chain.config = bytes(32)
    bench.take(bench.chain.seal([dataclasses.replace(heat(1), status=Status.POWER_LOW | Status.PARTIAL)]))
    with Served(bench, tmp_path) as site:
        newest = site.json("/api/v1/meters")["meters"][0]["series"][0]["newest"]
        assert (newest["held"], newest["status"]) == (["config", "partial"], ["power-low", "partial"])
        page = site.ask("/")[2]
        assert "held: the gateway&#39;s configuration is not approved" in page
        assert "held: the meter&#39;s answer is not whole" in page


def test_htmx_is_the_one_that_was_published_with_its_licence() -> None:
    """By hash; it is what the page loads."""
    folder = files("collector.expose").joinpath("static")
    assert hashlib.sha256(folder.joinpath(HTMX).read_bytes()).hexdigest() == HTMX_SHA256
    assert folder.joinpath("htmx-LICENSE.txt").read_text().startswith("Zero-Clause BSD")


@pytest.mark.parametrize(
    ("number", "kind", "shown"),
    [
        ("1001000", "number", "1\u202f001\u202f000"),
        ("-12345.678", "number", "\u221212\u202f345.678"),
        ("999", "number", "999"),
        ("0x7fc00000", "float32", "0x7fc00000"),
        ("12345678", "text", "12345678"),
    ],
)
def test_thousands_have_a_thin_space(number: str, kind: str, shown: str) -> None:
    """Numbers only, never a serial number that is a text."""
    assert grouped(number, kind) == shown


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "meters.example", "::"])  # noqa: S104 - refused
def test_only_a_loopback_address_may_be_configured(host: str, tmp_path: Path) -> None:
    """There is no login yet."""
    path = tmp_path / "collector.toml"
    path.write_text(f'collector = "utility"\n[broker]\nhost = "localhost"\n[http]\nhost = "{host}"\n')
    assert tomllib.loads(path.read_text())
    with pytest.raises(ConfigFileError, match="put a reverse proxy with one in front"):
        Config.from_toml(path)
