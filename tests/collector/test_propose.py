"""A commissioning record at a collector with a register: the key counts that is registered there for its gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chain import CONFIG, Chain
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from collector.cli import commands
from collector.faults import RecordSignerError
from protocols.errors import PlombaError
from protocols.transports.tls import make_csr, make_tls_key
from protocols.uplink import commissioned
from protocols.uplink import request as requests
from protocols.uplink.commissioned import Commissioned, First, Met
from protocols.uplink.keys import fingerprint
from protocols.uplink.request import Request

TOML = 'collector = "utility"\n[broker]\nhost = "localhost"\nport = 8883\n'


def run(*arguments: object) -> Result:
    """A command; an error of ours comes out as its exception."""
    result = CliRunner().invoke(commands, [str(each) for each in arguments])
    if isinstance(result.exception, PlombaError):
        raise result.exception
    return result


@pytest.fixture
def house() -> Chain:
    """The gateway that is registered."""
    return Chain("house-1", 1)


@pytest.fixture
def site(tmp_path: Path, house: Chain) -> Path:
    """A collector at which that gateway is registered."""
    config, folder = tmp_path / "collector.toml", tmp_path / "authority"
    config.write_text(TOML)
    run("keys", "--config", config)
    run("authority", "create", "--folder", folder, "--name", "Utility")
    worker = tmp_path / "keys" / "worker.public"
    run("authority", "trust", "--folder", folder, "--worker", worker, "--out", tmp_path / "keys")
    csr = x509.load_pem_x509_csr(make_csr(make_tls_key(tmp_path / "tls.pem"), house.name)).public_bytes(Encoding.DER)
    wanted = Request(house.name, house.key.public, house.box.public, csr, CONFIG)
    (tmp_path / "request").write_bytes(requests.sign(wanted, house.key))
    out = tmp_path / "enrolment"
    run("sign", tmp_path / "request", "--config", config, "--authority", folder, "--out", out)
    return tmp_path


def record(site: Path, chain: Chain) -> Path:
    """A record of one meter, sealed by the key of this chain."""
    met = Met("heat", "mbus", "riser", "line", "address 1", None, "KAM", "60300001", 53, 4, 1_700_000_000_000, None, ())
    values = (First("energy", "1000", "Wh", "ok"),)
    read = Met.from_wire([*met.to_wire()[:-1], [each.to_wire() for each in values]])
    made = Commissioned(chain.name, chain.key.public, "0.1.0 00", bytes(32), 1_700_000_000_000, (read,))
    path = site / f"{chain.name}.plomba"
    path.write_bytes(commissioned.sign(made, chain.key))
    return path


def propose(site: Path, chain: Chain, *more: str) -> Result:
    """The command with the collector's configuration."""
    return run("propose", record(site, chain), "--config", site / "collector.toml", *more)


def test_a_record_of_a_registered_key_is_vouched_for(site: Path, house: Chain) -> None:
    """0: nobody has to compare a fingerprint."""
    done = propose(site, house)
    assert done.exit_code == 0, done.output
    assert "key: registered here" in done.stdout
    assert "meter KAM 60300001, model not chosen: device heat" in done.stdout
    row = json.loads(propose(site, house, "--json").stdout)
    assert (row["vouched"], row["installations"][0]["initial"][0]["value"]) == ("registered here", "1000")


def test_a_record_of_another_key_of_a_registered_gateway_is_refused(site: Path) -> None:
    """Somebody else's device under this name, whatever fingerprint it shows."""
    other = Chain("house-1", 2)
    with pytest.raises(RecordSignerError, match="an active key of house-1"):
        propose(site, other)
    with pytest.raises(RecordSignerError, match="an active key of house-1"):
        propose(site, other, "--expect-fingerprint", fingerprint(other.key.public.octets))


def test_a_record_of_a_gateway_that_is_not_registered_needs_its_fingerprint(site: Path) -> None:
    """Without one it is refused; with the one that the device shows it counts."""
    other = Chain("house-9", 9)
    with pytest.raises(RecordSignerError, match="--expect-fingerprint"):
        propose(site, other)
    done = propose(site, other, "--expect-fingerprint", fingerprint(other.key.public.octets))
    assert (done.exit_code, "compared by its fingerprint" in done.stdout) == (0, True)
