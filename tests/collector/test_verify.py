"""What leaves the collector is checked by others with public keys alone, and every altered bit is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chain import COLLECTOR, Bench, reading
from click.testing import CliRunner

from collector import prove
from collector.cli_verify import check_octets, verify
from collector.faults import EvidenceAlteredError
from protocols.errors import PlombaError
from protocols.reading import TimeQuality
from protocols.uplink import keyring
from protocols.uplink.keys import SigningKey
from protocols.uplink.proof import Checked, Keyring
from protocols.uplink.records import Event, When

SEAL = SigningKey.generate()
STEP = 11  # every so many bits of most files are tried; `make soak` tries all


def _ring(bench: Bench) -> Keyring:
    return keyring.from_text(prove.keys_file(bench.store, COLLECTOR, SEAL.public), "keys")


def _exported(bench: Bench, count: int) -> list[bytes]:
    """Batches of one and two meters and an event, taken in and exported."""
    event = Event(When(bench.now_ms, 1, TimeQuality(True, 5)), "restart", None, None, ("power", 3))
    sealed = [bench.chain.seal([reading(n, 1), reading(n, 2)][: 1 + n % 2], [event][: n % 2]) for n in range(count)]
    bench.take(*sealed)
    return [prove.batch_file(bench.store, row) for row in bench.store.evidence.of("house-1")]


def _undetected(octets: bytes, ring: Keyring, step: int) -> list[int]:
    """The numbers of the bits whose flip nobody notices."""
    found = []
    for bit in range(0, len(octets) * 8, step):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 1 << bit % 8
        result = check_octets(bytes(flipped), ring, f"bit {bit}")
        if not isinstance(result, PlombaError) or result.code == "PLB-B301":
            found.append(bit)
    return found


def test_every_flipped_bit_of_exported_batches_is_found(bench: Bench) -> None:
    """R03 and R07: all bits of two files, every eleventh of eighteen; each with a named error."""
    ring = _ring(bench)
    files = _exported(bench, 20)
    assert all(isinstance(check_octets(each, ring, "whole"), Checked) for each in files)
    assert [_undetected(each, ring, 1) for each in files[:2]] == [[], []]
    assert [_undetected(each, ring, STEP) for each in files[2:]] == [[]] * 18


def test_a_proof_shows_its_leaf_and_no_neighbours_bytes(bench: Bench) -> None:
    """It verifies with the collector's key alone, and holds nothing of the other meters."""
    batch = bench.chain.seal([reading(5, 1, 1_111), reading(5, 2, 222_222), reading(5, 3, 333_333)])
    bench.take(batch)
    row = prove.find(bench.store, batch.id)
    octets = prove.leaf_proof(bench.store, row, 0, COLLECTOR, SEAL)
    alone = Keyring({}, {SEAL.public.id: (COLLECTOR, SEAL.public)})
    checked = check_octets(octets, alone, "proof")
    assert isinstance(checked, Checked)
    assert checked.statement is not None
    assert checked.statement.received_ms == bench.now_ms
    assert [index for index, _ in checked.leaves] == [0]
    assert b"00000001" in octets
    assert b"00000002" not in octets
    assert b"00000003" not in octets
    assert _undetected(octets, alone, 7) == []


def test_an_erased_leaf_leaves_a_batch_that_verifies_without_secret_and_content(bench: Bench) -> None:
    """The others keep their proof; the erased one is gone from the file, and the secret with it."""
    batch = bench.chain.seal([reading(5, 1), reading(5, 2)])
    bench.take(batch)
    row = prove.find(bench.store, batch.id)
    octets = prove.erased_batch(bench.store, row, [1])
    checked = check_octets(octets, _ring(bench), "erased")
    assert isinstance(checked, Checked)
    assert [index for index, _ in checked.leaves] == [0]
    assert b"00000002" not in octets
    _, body, _ = prove.checked(bench.store, row)
    secret = body[3:35]
    assert secret in prove.batch_file(bench.store, row)
    assert secret not in octets


@pytest.mark.parametrize("column", ["header", "signature", "body", "digest", "seq", "epoch", "id", "codec"])
def test_an_altered_row_of_evidence_is_not_exported(bench: Bench, column: str) -> None:
    """A07: whoever writes into the database is found when its evidence is used."""
    batch = bench.chain.seal()
    bench.take(batch)
    sql = bench.store._connection
    (found,) = sql.execute(f"SELECT {column} FROM evidence").fetchone()  # noqa: S608 - of the list above
    changed = found[:-1] + b"\x5a" if isinstance(found, bytes) else found + 7
    sql.execute(f"UPDATE evidence SET {column} = ?", (changed,))  # noqa: S608 - of the list above
    (row,) = bench.store.evidence.of("house-1")
    with pytest.raises(EvidenceAlteredError):
        prove.batch_file(bench.store, row)


def test_verify_exits_0_only_when_every_file_verifies(bench: Bench, tmp_path: Path) -> None:
    """One altered byte in one of the files is exit code 1 and a named error, never a traceback."""
    (tmp_path / "keys").write_text(prove.keys_file(bench.store, COLLECTOR, SEAL.public))
    names = []
    for number, octets in enumerate(_exported(bench, 3)):
        names.append(str(tmp_path / f"{number}.batch"))
        Path(names[-1]).write_bytes(octets)
    arguments = [*names, "--keys", str(tmp_path / "keys"), "--json"]
    good = CliRunner().invoke(verify, arguments)
    assert good.exit_code == 0
    shown = json.loads(good.stdout)
    assert [each["ok"] for each in shown] == [True] * 3
    assert shown[1]["leaves"][0]["values"][0] == {
        "key": "mbus:06/0/0/0/0/0",
        "unit": "Wh",
        "kind": "number",
        "value": "1001000",
        "state": "ok",
        "time": None,
    }
    Path(names[1]).write_bytes(Path(names[1]).read_bytes()[:-1] + b"\x00")
    bad = CliRunner().invoke(verify, [*arguments, str(tmp_path / "missing")])
    assert bad.exit_code == 1
    assert [each.get("code") for each in json.loads(bad.stdout)] == [None, "PLB-X102", None, "PLB-C303"]


def test_verify_names_what_it_cannot_read(tmp_path: Path) -> None:
    """Corrupt, empty, huge and missing files: a named error each."""
    (tmp_path / "keys").write_text("gateway house-1 ed25519 " + "11" * 32 + "\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "noise").write_bytes(b"\xff" * 100)
    (tmp_path / "huge").write_bytes(bytes(5 * 1024 * 1024))
    names = [str(tmp_path / name) for name in ("empty", "noise", "huge", "missing")]
    done = CliRunner().invoke(verify, [*names, "--keys", str(tmp_path / "keys"), "--json"])
    assert done.exit_code == 1
    assert [each["code"] for each in json.loads(done.stdout)] == ["PLB-P101", "PLB-P101", "PLB-C303", "PLB-C303"]


def test_verify_loads_no_store() -> None:
    """A third party needs neither database nor MQTT client."""
    text = "import sys, collector.cli_verify; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert {"sqlite3", "aiomqtt", "collector.store"}.isdisjoint(done.stdout.split())
