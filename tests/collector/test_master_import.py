"""A sheet of points and meters: every fault at once, all or nothing, the same again changes nothing."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from chain import NOW_MS, Bench, reading
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector import propose_sheet
from collector.cli import commands
from collector.cli_who import os_user
from collector.enter import Entered, enter
from collector.faults import MasterDataError, SheetError
from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.csvlines import Line, lines
from collector.master.dated import Act, Span
from collector.master.meters import Installation, Stood
from collector.master.sheet import COLUMNS, read
from collector.propose import Proposal
from collector.store.sqlite import SqliteStore
from protocols.reading import Scaled
from protocols.uplink.commissioned import Commissioned, First, Met
from protocols.uplink.keys import SigningKey

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "config" / "points.example.csv").read_bytes()
SHEETS = Path(__file__).parent / "sheets"
HEADER = (
    "point;scheme;medium;zone;meter;protocol;manufacturer;id;from;register;native;quantity;unit;step;channel;cadence"
)
LINE = "plant 1;free;heat;Europe/Budapest;M1;mbus;KAM;00000001;2026-01-01;heat;mbus:06/0/0/0/0/0;energy;Wh;1;heat;hour"


def take(store: SqliteStore, octets: bytes | str, *, correct: bool = False, dry: bool = False) -> Entered:
    """Read and enter a sheet."""
    found = read(octets.encode() if isinstance(octets, str) else octets, "sheet.csv")
    return enter(store, found, "sheet.csv", Act("operator", NOW_MS, "import"), correct=correct, dry=dry)


def rows(store: SqliteStore) -> int:
    """How many rows the tables of the master data have."""
    tables = ("point", "supply", "meter", "register", "mapped", "installation", "channel", "act", "identity")
    counts = [store._connection.execute(f"SELECT count(*) FROM master_{name}").fetchone()[0] for name in tables]  # noqa: S608
    return sum(counts)


def test_the_example_is_entered_and_given_again_changes_nothing(store: SqliteStore) -> None:
    """Points of three schemes, a heat meter that was exchanged, a pulse input; then not a row more."""
    done = take(store, EXAMPLE)
    assert done.changed == {
        "points": 3,
        "supplies": 1,
        "meters": 4,
        "registers": 5,
        "mapped": 1,
        "installations": 4,
        "channels": 4,
    }
    before = rows(store)
    again = take(store, EXAMPLE)
    assert (again.changed, again.there, rows(store)) == ({}, done.changed["points"] + 19, before)
    old, new = store.master.installations.all(point="590543580500123455")
    assert (old.final, new.initial) == ((Stood("6-0:1.0.0", Scaled(31_250)),), (Stood("6-0:1.0.0", Scaled(0)),))
    assert old.span.to_ms == new.span.from_ms
    assert store.master.registers.all(meter="60112299")[0].step == Scaled(1, -3)


def test_the_page_tells_every_column() -> None:
    """In the words that a fault tells."""
    page = (ROOT / "docs" / "master.md").read_text()
    told = [line for name, words in COLUMNS.items() for line in (f"| `{name}` |", words.replace("|", "\\|"))]
    assert [each for each in told if each not in page] == []


def test_a_dry_run_enters_nothing_and_says_what_it_would(store: SqliteStore) -> None:
    """The same counts, and not a row."""
    assert take(store, EXAMPLE, dry=True).changed == take(store, EXAMPLE, dry=True).changed != {}
    assert rows(store) == 0


@pytest.mark.parametrize(
    "octets",
    [
        b"\xef\xbb\xbf" + EXAMPLE,
        EXAMPLE.replace(b"\n", b"\r\n"),
        EXAMPLE.replace(b"0,001", b"0.001").replace(b";", b",").replace(b"columns. A", b"columns"),
        EXAMPLE.replace(b"plant 7/3", b'"plant 7/3"'),
    ],
)
def test_a_spreadsheet_writes_it_in_several_ways(store: SqliteStore, octets: bytes) -> None:
    """With a BOM, Windows line ends, commas, quotes: the same words."""
    assert [each.word for each in read(octets, "").words] == [each.word for each in read(EXAMPLE, "").words]
    assert take(store, octets).changed["points"] == 3


def test_every_fault_is_told_at_once(store: SqliteStore) -> None:
    """With line, column, what was expected, what came and what to do; nothing is entered."""
    with pytest.raises(SheetError) as raised:
        take(store, (SHEETS / "faults.csv").read_bytes())
    told = [
        f"{each.line}:{each.column} {each.key}: {each.expected} | {each.got} | {each.do}"
        for each in raised.value.problems
    ]
    assert "\n".join(told) + "\n" == (SHEETS / "faults.txt").read_text()
    assert rows(store) == 0


def test_a_wrong_column_names_the_nearest(store: SqliteStore) -> None:
    """And a missing one is named."""
    with pytest.raises(SheetError) as raised:
        take(store, "point;chanel\nplant 1;x\n")
    told = [(each.line, each.column, each.got, each.near) for each in raised.value.problems[:2]]
    assert told == [(1, 1, "none", ""), (1, 7, "'chanel'", "channel")]


def test_another_character_set_is_told_with_its_place(store: SqliteStore) -> None:
    """A spreadsheet of Windows writes Central European texts otherwise."""
    with pytest.raises(SheetError) as raised:
        take(store, f"{HEADER}\n".encode() + "f\u0171t\u0151m\u0171".encode("cp1250"))
    assert [(each.line, each.column, each.expected) for each in raised.value.problems] == [(2, 2, "UTF-8")]


def test_what_holds_otherwise_needs_a_correction(store: SqliteStore) -> None:
    """A changed factor is refused with a hint, and counts from its day on where it is said to be right."""
    take(store, f"{HEADER};factor\n{LINE};1\n")
    later = f"{HEADER};factor\n{LINE.replace('2026-01-01', '2026-03-01')};40\n"
    with pytest.raises(SheetError) as raised:
        take(store, later)
    assert [(each.line, each.key, each.do[:14]) for each in raised.value.problems] == [
        (2, "register", "give --correct")
    ]
    assert take(store, later, correct=True).changed == {"registers": 1}
    assert [str(each.factor) for each in store.master.registers.all(meter="M1")] == ["1", "40"]


def test_a_correction_that_ends_an_installation_ends_it(store: SqliteStore) -> None:
    """What was known to go on beyond that goes on no more."""
    take(store, f"{HEADER};to\n{LINE};\n")
    take(store, f"{HEADER};to\n{LINE};2026-06-01\n", correct=True)
    assert [each.span.to_ms is None for each in store.master.installations.all(meter="M1")] == [False]


def test_what_lines_say_of_one_time_agrees_and_of_a_later_one_follows(store: SqliteStore) -> None:
    """Two factors from one day on are a fault; from two days on they are a change."""
    twice = f"{HEADER};factor\n{LINE};1\n{LINE.replace('2026-01-01', '2026-03-01')};40\n"
    assert take(store, twice).changed["registers"] == 2
    assert take(store, twice).changed == {}
    assert len(store.master.channels.all(point="plant 1")) == 1


def test_lines_of_four_registers_make_one_installation(store: SqliteStore) -> None:
    """What is said of point and meter once need not be repeated."""
    more = "plant 1;;;;M1;;;;2026-01-01;volume;mbus:13/0/0/0/0/0;volume;m3;0.001;volume;day"
    take(store, f"{HEADER}\n{LINE}\n{more}\n")
    start = store.master.points.all()[0].span.from_ms
    assert store.master.installations.all() == [Installation("plant 1", "M1", Span(start), "Europe/Budapest")]
    assert store.master.channels.all(name="volume") == [
        Channel("plant 1", "volume", "volume", "volume", Cadence.DAY, Aggregate.SUM, Span(start))
    ]


def test_readings_that_waited_are_marked_by_the_import(bench: Bench, store: SqliteStore) -> None:
    """From their first; the customer of the import is not."""
    bench.take(bench.chain.seal([reading(0), reading(1)]))
    octets = f"{HEADER}\n{LINE}\n"
    found = read(octets.encode(), "sheet.csv")
    done = enter(store, found, "sheet.csv", Act("operator", NOW_MS + 10**9, "import"))
    assert done.marked == 1
    assert store.master.waiting() == []


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXTS)
@example("=cmd|' /C calc'!A0")
@example("'; DROP TABLE master_point; --")
@example('";--')
@example("+1")
@example("@SUM(1)")
@example("-x")
def test_a06_names_are_never_statements_nor_formulas(store: SqliteStore, name: str) -> None:
    """A06: what is entered as a name comes out as that name, the tables stay, and no cell of ours begins a formula."""
    with store.transaction():
        for table in ("point", "meter", "installation", "register", "channel", "identity"):
            store._connection.execute(f"DELETE FROM master_{table}")  # noqa: S608
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerow([*LINE.split(";")[:4], name, *LINE.split(";")[5:]])
    before = rows(store)
    try:
        take(store, f"{HEADER}\n{out.getvalue()}")
    except SheetError:
        assert rows(store) == before
        return
    entered = [each.serial for each in store.master.meters.all()]
    assert entered == [name.strip()] or name.strip().startswith("'")
    assert store.master.installations.all(meter=entered[0])[0].point == "plant 1"


def proposal(serial: str | None = "60300001") -> Proposal:
    """A record of a heat meter, a meter without identity, and one that was not read."""
    values = (First("mbus:06/0/0/0/0/0", "123.50", "kWh", "ok"), First("flow", "0.12", "m3/h", "ok"))
    heat = Met("heat", "mbus", "loop", "/dev/x", "1", "k-603", "KAM", serial, 1, 4, NOW_MS, None, values)
    pump = replace(heat, name="=pump", serial=None, manufacturer=None, medium=None, readings=(*values[:1],))
    text = replace(heat, name="info", serial="1", readings=(First("info", "x", "", "ok"),))
    dead = replace(heat, name="dead", at_ms=None, failure="silent", readings=())
    record = Commissioned("house-1", SigningKey.generate().public, "1", bytes(32), NOW_MS, (heat, pump, text, dead))
    return Proposal(record, "")


def test_a_commissioning_record_gives_lines_to_fill_in(store: SqliteStore) -> None:
    """Filled in they are entered; what has no line is named, and an unfilled line says what is missing."""
    written = propose_sheet.sheet(proposal())
    found = list(csv.DictReader(written.splitlines()[1:], delimiter=";"))
    assert [(each["meter"], each["native"], each["kind"], each["initial"]) for each in found] == [
        ("60300001", "mbus:06/0/0/0/0/0", "total", "123.50"),
        ("60300001", "", "instantaneous", ""),
        ("", "mbus:06/0/0/0/0/0", "total", "123.50"),
    ]
    assert propose_sheet.left_out(proposal()) == ["dead: not read", "info: info: no number of a known quantity"]
    with pytest.raises(SheetError) as raised:
        take(store, written)
    assert {"point", "step", "native", "meter"} <= {each.key for each in raised.value.problems}
    out = io.StringIO()
    writer = csv.DictWriter(out, list(COLUMNS), delimiter=";")
    writer.writeheader()
    filled = {"point": "plant 1", "scheme": "free", "zone": "Europe/Budapest", "step": "0.01"}
    writer.writerow(found[0] | filled)
    assert take(store, out.getvalue()).changed["registers"] == 1
    assert store.master.installations.all()[0].initial == (Stood("mbus:06/0/0/0/0/0", Scaled(12_350, -2)),)


def test_a06_a_proposed_sheet_runs_nothing(store: SqliteStore) -> None:
    """A06: a device or serial number that begins like a formula is kept from running, and read back as it was."""
    written = propose_sheet.sheet(proposal("=1+1"))
    cells = [cell for line in csv.reader(written.splitlines()[1:], delimiter=";") for cell in line]
    assert [cell for cell in cells if cell[:1] in {"=", "@", "+", "-"}] == []
    assert {"'=1+1", "'=pump"} <= set(cells)
    at = list(COLUMNS).index("meter")
    read_back = [line.cells[at].text for line in lines(written.encode()) if isinstance(line, Line)]
    assert set(read_back) == {"meter", "=1+1", "1", ""} - {"1"}


def test_a08_no_name_of_a_sheet_is_a_path(store: SqliteStore) -> None:
    """A08: names that would lead out of a folder are refused where they are entered."""
    for bad in ("../../etc/passwd", "/etc/passwd", "a\\..\\b"):
        with pytest.raises(SheetError) as raised:
            take(store, f"{HEADER}\n{LINE.replace('plant 1', bad).replace('M1', bad)}\n")
        assert {each.key for each in raised.value.problems} == {"point", "meter"}
    assert rows(store) == 0


@pytest.fixture
def site(tmp_path: Path) -> list[str]:
    """A configuration with an empty store: the options that name it."""
    (tmp_path / "collector.toml").write_bytes((ROOT / "config" / "collector.example.toml").read_bytes())
    SqliteStore.open(tmp_path / "collector.sqlite3").close()
    return ["--config", str(tmp_path / "collector.toml")]


def run(*arguments: str) -> str:
    """What a command prints; it must succeed."""
    done = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_commands_show_what_was_entered(site: list[str], tmp_path: Path) -> None:
    """Import, list, show, exchange, show as known before; by whom stands beside it."""
    sheet = tmp_path / "points.csv"
    spare = ";;;;M2;mbus;KAM;00000002;;heat;mbus:06/0/0/0/0/0;energy;Wh;1;;"
    sheet.write_text(f"{HEADER}\n{LINE}\n{spare}\n")
    assert json.loads(run("import-points", str(sheet), *site, "--json"))["entered"]["meters"] == 2
    assert [each["point"] for each in json.loads(run("points", *site, "--json"))] == ["plant 1"]
    assert [each["meter"] for each in json.loads(run("meters", *site, "--json"))] == ["M1", "M2"]
    at = ["--at", "2026-02-01T09:30", "--final", "heat=12.5", "--initial", "heat=0"]
    both = json.loads(run("exchange", "plant 1", "M1", "M2", *at, *site, "--who", "eve", "--json"))
    assert (both["old"]["to"], both["new"]["from"]) == ("2026-02-01T08:30:00.000Z", "2026-02-01T08:30:00.000Z")
    shown = json.loads(run("points", "show", "plant 1", *site, "--json"))
    assert [each["meter"] for each in shown["installations"]] == ["M1", "M2"]
    history = json.loads(run("meters", "show", "M1", *site, "--history", "--json"))["installations"]
    assert [(each["who"], each["known_to"] is None) for each in history] == [(os_user(), False), ("eve", True)]
    known = history[0]["known_from"]
    before = json.loads(run("points", "show", "plant 1", *site, "--known-at", known, "--json"))
    assert [(each["meter"], each["to"]) for each in before["installations"]] == [("M1", None)]
    assert json.loads(run("waiting", *site, "--json")) == []


def test_what_changes_later_is_said_by_commands(site: list[str]) -> None:
    """A computed channel, a share, another customer, and ends in the order in which they lean on one another."""
    run("import-points", str(ROOT / "config" / "points.example.csv"), *site)
    flat = "HU000210F11-S00000000000016049191"
    net = ("points", "compute", flat, "net", "--plus", flat, "A+", "--minus", flat, "A-", "--from", "2025-01-01")
    (made,) = json.loads(run(*net, *site, "--json"))
    assert (made["quantity"], made["cadence"], made["aggregate"]) == ("energy", "15min", "sum")
    share = ("points", "relate", "plant 7/3", flat, "--as", "share", "--share", "1/3", "--from", "2025-07-01")
    assert json.loads(run(*share, *site, "--json"))[0]["share"] == "1/3"
    supply = ("points", "supply", flat, "4712", "--from", "2026-01-01")
    assert said(*supply, *site).startswith("expected nothing yet")
    run(*supply, "--correct", *site)
    assert "got channel net of point" in said("points", "end", flat, "--channel", "A-", "--at", "2026-06-01", *site)
    assert "got installation of meter 12345678" in said("meters", "end", "12345678", "--at", "2026-06-01", *site)
    at = ("--at", "2026-06-01")
    for gone in (("--channel", "net"), ("--channel", "A-"), ("--channel", "A+"), ("--customer", "4712")):
        run("points", "end", flat, *gone, *at, *site)
    run("points", "end", flat, "--meter", "12345678", "--final", "1-0:1.8.0=1723400", *at, *site)
    assert "got relation of point plant 7/3" in said("points", "end", flat, *at, *site)
    run("points", "end", "plant 7/3", "--relation", flat, *at, *site)
    run("points", "end", flat, *at, *site)
    assert "to 2026-06-02T00:00" in run("meters", "end", "12345678", "--at", "2026-06-02", *site)
    shown = json.loads(run("points", "show", flat, *site, "--json"))
    assert [each["customer"] for each in shown["supplies"]] == ["4711", "4712"]
    (went,) = shown["installations"]
    assert (went["to"], went["final"][0]["value"]) == ("2026-05-31T22:00:00.000Z", "1723400")
    assert {each["to"] for each in shown["channels"] + shown["computed"]} == {went["to"]}


def test_a_meter_that_was_never_there_stood_at_nothing(site: list[str]) -> None:
    """Ended where it begins, an installation never held; values of it are refused, and so is nothing to end."""
    run("import-points", str(ROOT / "config" / "points.example.csv"), *site)
    flat = "HU000210F11-S00000000000016049191"
    end = ("points", "end", flat, "--meter", "12345678", "--at", "2025-01-01", *site)
    assert "a meter that never was there" in said(*end, "--final", "1-0:1.8.0=1")
    run(*end)
    assert "got none in end" in said(*end)
    assert json.loads(run("points", "show", flat, *site, "--json"))["installations"] == []


def said(*arguments: str) -> str:
    """How a command refuses."""
    with pytest.raises(MasterDataError) as refused:
        CliRunner().invoke(commands, arguments, catch_exceptions=False)
    return str(refused.value).partition(": ")[2] or str(refused.value)


def test_faults_are_data_too(site: list[str], tmp_path: Path) -> None:
    """With --json every fault is an object on stdout, and the exit code is 1."""
    done = CliRunner().invoke(commands, ["import-points", str(SHEETS / "faults.csv"), *site, "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert not told["ok"]
    assert {"line", "column", "expected", "got", "do"} <= set(told["problems"][0])


def test_an_unknown_point_is_named(site: list[str]) -> None:
    """It is no empty answer."""
    with pytest.raises(MasterDataError, match="a point that was entered, got 'nowhere'"):
        CliRunner().invoke(commands, ["points", "show", "nowhere", *site], catch_exceptions=False)
