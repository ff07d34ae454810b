"""Proofs of values: whole across exchanges, units, rollovers, change days; nothing altered passes, a lie is named."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import ground_year as year
import pytest
from chain import COLLECTOR, NOW_MS, AnyStore, Bench, reading
from click.testing import CliRunner
from ground_run import Year

from collector import keys, prove
from collector.attribute.work import Attribution
from collector.cli import commands
from collector.cli_verify import check_octets
from collector.faults import ClaimError, NotProvableError
from collector.keys import WorkerKeys
from collector.master.channels import Aggregate, Cadence, Channel, Computed, Term
from collector.master.dated import Act, Span
from collector.master.meters import Installation, Kind, Meter, Register
from collector.master.points import Medium, Point, Scheme
from collector.place import Place
from collector.proving.check import Proven
from collector.proving.claim import Claim, ShownBatch, Stated, read
from collector.proving.make import Wanted, values_proof
from collector.proving.told import gaps, sentences
from collector.quality import Quality, Run, State
from collector.store.postgresql import PostgresqlStore
from protocols.errors import PlombaError
from protocols.reading import Identity, NativeKey, Protocol, Reading, Scaled
from protocols.uplink import keyring, merkle
from protocols.uplink.faults import ProofError
from protocols.uplink.keys import SigningKey
from protocols.uplink.leaf import leaf_hash
from protocols.uplink.pack import unpack
from protocols.uplink.proof import Keyring

SEAL = SigningKey.generate()
QUARTER_MS = 900_000
POINT, CHANNEL = "P", "energy"
SLOTS = 24
SPAN = (NOW_MS // QUARTER_MS * QUARTER_MS + QUARTER_MS, NOW_MS // QUARTER_MS * QUARTER_MS + (SLOTS - 1) * QUARTER_MS)
WANTED = Wanted(POINT, CHANNEL, *SPAN)
FROM_NOW = SPAN[0] - QUARTER_MS - NOW_MS  # what `reading` counts its slots from is no whole quarter


def ring(store: AnyStore) -> Keyring:
    """What a third party is given."""
    return keyring.from_text(prove.keys_file(store, COLLECTOR, SEAL.public), "keys")


def enter(store: AnyStore) -> None:
    """One point whose meter 1 is read every quarter of an hour, in rounds with two neighbours."""
    always = Span(0)
    meter = Meter("M1", "any", Identity(Protocol.MBUS, "KAM", "00000001", 1, 4))
    key = NativeKey.mbus(b"\x06", 0, 0, 0, 0)
    register = Register("M1", "total", key, Kind.TOTAL, "energy", "Wh", Fraction(1), None, Scaled(1, 3), always)
    point = Point(POINT, Scheme.FREE, Medium.ELECTRICITY, "Europe/Budapest", always)
    channel = Channel(POINT, CHANNEL, "energy", "total", Cadence.QUARTER, Aggregate.SUM, always)
    twice = Computed(POINT, "twice", "energy", Cadence.QUARTER, Aggregate.SUM, (Term(1, POINT, CHANNEL),) * 2, always)
    with store.transaction():
        here = Installation(POINT, "M1", always, "+01:00")
        store.master.enter(Act("operator", NOW_MS), point, meter, register, here, channel, twice)


def rounds(bench: Bench, without: tuple[int, ...] = ()) -> None:
    """Rounds of three meters, each a batch of its own; what each shows is a number of its own."""
    for slot in range(SLOTS):
        if slot not in without:
            three = [moved(reading(slot, meter, 1_000_000 * meter + slot)) for meter in (1, 2, 3)]
            bench.take(bench.chain.seal(three))
    bench.now_ms = SPAN[1] + 86_400_000


def moved(read: Reading) -> Reading:
    """The same on a whole quarter of an hour."""
    exchange = replace(read.exchange, at_ms=read.exchange.at_ms + FROM_NOW)
    return replace(read, slot_ms=(read.slot_ms or 0) + FROM_NOW, exchange=exchange)


@pytest.fixture
def entered(bench: Bench) -> Bench:
    """The point with all its rounds, attributed."""
    enter(bench.store)
    rounds(bench)
    Attribution(bench.store).all(bench.now_ms)
    return bench


def proof(bench: Bench, wanted: Wanted = WANTED) -> tuple[bytes, Proven]:
    """The proof of the point's values."""
    return values_proof(bench.store, wanted, COLLECTOR, SEAL, bench.now_ms)


def judged(octets: bytes, trusted: Keyring) -> str:
    """How a file is judged: a code, or "false", "gaps", "whole"."""
    result = check_octets(octets, trusted, "a file")
    if isinstance(result, PlombaError):
        return result.code
    assert isinstance(result, Proven)
    return "false" if result.wrong else "whole" if result.whole else "gaps"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("month", [3, 10])
def test_a_month_is_proven_across_exchange_unit_rollover_factor_and_change_day(store: AnyStore, month: int) -> None:
    """Every channel of a month with its change day is whole, in few bytes, before and after a CT is corrected."""
    if month == 3 and isinstance(store, PostgresqlStore):
        pytest.skip("one change day is enough on the second database: the proof is made by the same code")
    bounds = year.months(2025, month, month)
    run = Year(store, year.sites(1, 1, 1, bounds), bounds)
    run.enter(run.sites)
    run.read()
    run.read_late()
    run.attribute()
    channels = [(site, name) for site in run.sites for name in list(site.waves)[:1]]
    for again in (False, True):
        for site, name in channels:
            wanted = Wanted(site.point, name, bounds[0], bounds[-1])
            octets, proven = values_proof(store, wanted, COLLECTOR, SEAL, run.bench.now_ms)
            assert judged(octets, ring(store)) == "whole"
            summed = sum(each.stated.ticks or 0 for each in proven.computed)
            truth, step = site.truth(name, bounds[0], bounds[-1])
            grid = Fraction(1, 10**6) if site.medium is Medium.HOT_WATER else 1
            assert abs(summed * grid - truth) <= step
            assert len(octets) < 80 * len(proven.intervals)
        if not again:
            run.correct_factor(run.sites[0], bounds[0] + 3 * year.DAY_MS + 13 * year.QUARTER_MS, Fraction(123))
            run.attribute()


def test_no_flipped_byte_passes(entered: Bench) -> None:
    """Each byte of the file, one of its bits: refused by a rule, never by a fault of ours."""
    octets, _ = proof(entered)
    trusted = ring(entered.store)
    assert judged(octets, trusted) == "whole"
    for place in range(len(octets)):
        flipped = bytearray(octets)
        flipped[place] ^= 1 << place % 8
        verdict = judged(bytes(flipped), trusted)
        assert verdict.startswith("PLB-")
        assert verdict != "PLB-B301"


def test_a_value_that_its_utility_altered_is_named_with_its_time(entered: Bench, tmp_path: Path) -> None:
    """Signed by the utility, and everything else right: that one, and no other; exit code 1."""
    octets, _ = proof(entered)
    trusted = ring(entered.store)
    claim = read(octets, trusted)
    page = claim.pages[0]
    values = [None if each is None else each for each in page.values]
    values[5] = (values[5] or 0) + 1
    false = replace(claim, pages=(replace(page, values=tuple(values)), *claim.pages[1:])).to_bytes(SEAL)
    result = check_octets(false, trusted, "a file")
    assert isinstance(result, Proven)
    assert [each.start_ms for each in result.wrong] == [SPAN[0] + 5 * QUARTER_MS]
    (tmp_path / "keys").write_text(prove.keys_file(entered.store, COLLECTOR, SEAL.public))
    (tmp_path / "false").write_bytes(false)
    done = CliRunner().invoke(commands, ["verify", str(tmp_path / "false"), "--keys", str(tmp_path / "keys"), "--json"])
    assert done.exit_code == 1
    (shown,) = json.loads(done.stdout)
    assert shown["ok"] is False
    assert [each["why"] for each in shown["false"]] == [
        "stated 3600001, but the sealed readings give 3600000",
    ]


def _altered(claim: Claim) -> Iterator[Claim]:
    """The claim with one byte of what a gateway sealed altered, and with a leaf, a step or a batch taken away."""
    first, rest = claim.batches[0], claim.batches[1:]
    leaf = first.leaves[0]
    batches: list[ShownBatch] = []
    batches += [replace(first, header=each) for each in _flips(first.header)]
    batches += [replace(first, signature=each) for each in _flips(first.signature)]
    batches += [replace(first, leaves=(replace(leaf, octets=each),)) for each in _flips(leaf.octets)]
    batches += [replace(first, leaves=(replace(leaf, salt=each),)) for each in _flips(leaf.salt)]
    batches += [replace(first, steps=(each, *first.steps[1:])) for each in _flips(first.steps[0])]
    batches += [replace(first, steps=first.steps[1:]), replace(first, steps=(*first.steps, bytes(32)))]
    batches += [replace(first, leaves=(replace(leaf, index=1),)), replace(first, leaves=(leaf, leaf))]
    yield from (replace(claim, batches=(each, *rest)) for each in batches)
    yield replace(claim, batches=(first, first, *rest))


def _flips(octets: bytes) -> Iterator[bytes]:
    for place in range(len(octets)):
        yield octets[:place] + bytes([octets[place] ^ 1 << place % 8]) + octets[place + 1 :]


def test_a_utility_cannot_alter_what_was_sealed(entered: Bench) -> None:
    """Every byte of a header, a signature, a leaf, a salt and a path, with the utility's own signature over it."""
    octets, _ = proof(entered)
    trusted = ring(entered.store)
    tried = 0
    for each in _altered(read(octets, trusted)):
        tried += 1
        verdict = judged(each.to_bytes(SEAL), trusted)
        assert verdict.startswith("PLB-")
        assert verdict != "PLB-B301"
    assert tried > 400  # bytes: the first batch of a gateway has no hash of the one before in its header


def test_other_master_data_come_to_other_values(entered: Bench) -> None:
    """A factor, a unit or a meter that are not those of the values: false, and said for every value."""
    octets, _ = proof(entered)
    trusted = ring(entered.store)
    claim = read(octets, trusted)
    words = claim.words
    (register,), (here,), (meter,) = words.registers, words.installations, words.meters
    for other in (
        replace(words, registers=(replace(register, factor=Fraction(2)),)),
        replace(words, registers=(replace(register, key=NativeKey.mbus(b"\x07", 0, 0, 0, 0)),)),
        replace(words, installations=(replace(here, span=Span(SPAN[1])),)),
        replace(words, meters=(replace(meter, identity=Identity(Protocol.MBUS, id="00000009")),)),
    ):
        assert judged(replace(claim, words=other).to_bytes(SEAL), trusted) == "false"
    for pages in ((), claim.pages * 2, (replace(claim.pages[0], day=1),)):
        assert judged(replace(claim, pages=pages).to_bytes(SEAL), trusted) == "PLB-X304"
    assert judged(claim.to_bytes(SigningKey.generate()), trusted) == "PLB-X104"


def test_nothing_of_the_neighbours_is_in_it(entered: Bench) -> None:
    """The file holds this meter's leaves, of the others hashes alone."""
    octets, proven = proof(entered)
    fields = unpack(octets, len(octets), "file")
    assert isinstance(fields, list)
    assert isinstance(fields[2], bytes)
    content = zlib.decompress(fields[2])
    assert b"00000001" in content
    assert b"00000002" not in content
    assert b"00000003" not in content
    assert {each.reading.meter.id for each, _ in proven.readings} == {"00000001"}


def test_a_gap_says_why(bench: Bench) -> None:
    """A read that was missed, one in conflict, one that is held: each a gap with its reason; the rest is whole."""
    enter(bench.store)
    rounds(bench, without=(4,))
    bench.take(bench.chain.seal([moved(reading(10, 1, 7))]))
    row = list(bench.store.evidence.of("house-1"))[15]
    with bench.store.transaction():
        case, _ = bench.store.cases.report("house-1", "clone", b"x", "", bench.now_ms)
        assert case is not None
        bench.store.cases.hold(case, row.epoch, row.id)
    Attribution(bench.store).all(bench.now_ms)
    octets, proven = proof(bench)
    assert judged(octets, ring(bench.store)) == "gaps"
    found = [(gap.why, (gap.from_ms - SPAN[0]) // QUARTER_MS, gap.count) for gap in gaps(proven.missing)]
    assert found == [("no-reading", 2, 2), ("conflict", 8, 2), ("held", 14, 2)]
    told = "\n".join(sentences(proven))
    assert "2 readings do not count: readings contradict each other" in told
    claim = read(octets, ring(bench.store))
    silent = [replace(each, leaves=tuple(replace(one, doubt="") for one in each.leaves)) for each in claim.batches]
    assert judged(replace(claim, batches=tuple(silent)).to_bytes(SEAL), ring(bench.store)) == ClaimError.code


def test_a_value_of_a_person_is_told_apart(entered: Bench) -> None:
    """Edited by the utility: not false, not computed, and the proof is not whole."""
    octets, _ = proof(entered)
    trusted = ring(entered.store)
    claim = read(octets, trusted)
    count = len(claim.pages[0].values)
    runs = (Run(1, Quality(State.EDITED)), Run(count - 1, Quality(State.RAW)))
    page = Stated(claim.pages[0].day, (7, *claim.pages[0].values[1:]), runs)
    result = check_octets(replace(claim, pages=(page, *claim.pages[1:])).to_bytes(SEAL), trusted, "a file")
    assert isinstance(result, Proven)
    assert (len(result.wrong), len(result.by_person), result.whole) == (0, 1, False)


def test_what_does_not_follow_from_the_readings_is_not_proven(entered: Bench) -> None:
    """A computed channel, a page altered in the store, values that were not attributed yet: no file."""
    for wanted in (replace(WANTED, channel="twice"), replace(WANTED, to_ms=WANTED.from_ms)):
        with pytest.raises(NotProvableError):
            proof(entered, wanted)
    store = entered.store
    kept = store.curves.pages(POINT, CHANNEL, Cadence.QUARTER, 0, 10**6)[-1].curve()
    first = next(place for place, each in enumerate(kept.values) if each is not None)
    altered = replace(kept, values=tuple(9 if n == first + 3 else each for n, each in enumerate(kept.values)))
    with store.transaction():
        store.curves.put(altered, Act("somebody", entered.now_ms))
    with pytest.raises(NotProvableError, match="stated 9, but the sealed readings give 3600000"):
        proof(entered)


def test_values_that_were_not_attributed_yet_are_not_proven(bench: Bench) -> None:
    """There are readings and no series: no file says that they are missing."""
    enter(bench.store)
    rounds(bench)
    with bench.store.transaction():
        bench.store.master.identities.look()
    with pytest.raises(NotProvableError):
        proof(bench)


def test_the_commands_write_a_file_and_check_it_without_a_store(store: AnyStore, place: Place, tmp_path: Path) -> None:
    """`prove`, then `verify` in a process that loads neither database nor MQTT; a gap is exit code 3."""
    keys.make(COLLECTOR, tmp_path / "keys")
    bench = Bench(store)
    enter(store)
    rounds(bench, without=(4,))
    Attribution(store).all(bench.now_ms)
    config = tmp_path / "collector.toml"
    config.write_text(
        f'collector = "{COLLECTOR}"\nstore = "{place}"\nkeys_folder = "keys"\n[broker]\nhost = "localhost"\n'
    )
    public = WorkerKeys.read(tmp_path / "keys").seal.public
    (tmp_path / "keys.txt").write_text(prove.keys_file(store, COLLECTOR, public))
    out, gap = tmp_path / "values", tmp_path / "gap"
    for begin, path, code in (("17:15", out, 0), ("16:30", gap, 3)):
        span = (f"2026-09-21T{begin}", "2026-09-21T19:15")
        arguments = ["prove", POINT, CHANNEL, *span, "--config", str(config), "--out", str(path)]
        made = CliRunner().invoke(commands, arguments)
        assert (made.exit_code, made.stdout) == (code, f"{path}\n"), made.output
        known = ["--keys", str(tmp_path / "keys.txt")]
        assert CliRunner().invoke(commands, ["verify", str(path), *known]).exit_code == code
    text = (
        "import sys; from collector.cli import commands; commands.main(sys.argv[1:], standalone_mode=False);"
        "print(sorted({'sqlite3', 'psycopg', 'aiomqtt', 'collector.store'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", text, "verify", str(out), "--keys", str(tmp_path / "keys.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        f"{out}: ok, whole: channel energy of point P, 2026-09-21T17:15+02:00 to 2026-09-21T19:15"
    )
    assert lines[2].startswith("  sealed: ")
    assert lines[3].startswith("  computed: 8 of 8 values, together 8000.000 Wh: differences of what the register")
    assert lines[-1] == "[]"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_branches_prove_any_leaves_of_a_tree(count: int) -> None:
    """They give the root, no more and no fewer of them; another leaf, or another place, gives another root."""
    drawn = random.Random(count)
    hashes = [leaf_hash(bytes(16), bytes([each])) for each in range(count)]
    for _ in range(20):
        shown = sorted(drawn.sample(range(count), drawn.randint(1, count)))
        steps = merkle.branches(hashes, shown)
        known = {each: hashes[each] for each in shown}
        assert merkle.root_of(known, count, steps) == merkle.root(hashes)
        assert merkle.root_of(known | {shown[0]: bytes(32)}, count, steps) != merkle.root(hashes)
        for other in (steps[:-1] if steps else [bytes(32)], [*steps, bytes(32)]):
            with pytest.raises(ProofError):
                merkle.root_of(known, count, other)
    assert merkle.branches(hashes, [0]) == merkle.path(hashes, 0)
