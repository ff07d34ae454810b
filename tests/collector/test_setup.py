"""A site is set up by commands, each party in its own folder; nothing is overwritten, no id is given twice."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from chain import CONFIG, Chain
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from collector.cli import commands
from collector.config import Config
from collector.faults import ConfigFileError, FileThereError, FingerprintError, GatewayTakenError, NotFoundError
from collector.keys import WorkerKeys
from collector.worker import read_trust
from protocols.errors import PlombaError
from protocols.transports.tls import make_csr, make_tls_key
from protocols.uplink import request as requests
from protocols.uplink import trust
from protocols.uplink.faults import FormError
from protocols.uplink.keys import fingerprint
from protocols.uplink.pack import unpack
from protocols.uplink.request import Request

TOML = 'collector = "utility"\n[broker]\nhost = "localhost"\nport = 8883\n'


def run(*arguments: object) -> Result:
    """A command; an error of ours comes out as its exception."""
    result = CliRunner().invoke(commands, [str(each) for each in arguments])
    if isinstance(result.exception, PlombaError):
        raise result.exception
    return result


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a collector, its keys, an authority and the first trust document."""
    (tmp_path / "collector.toml").write_text("\ufeff" + TOML)
    run("keys", "--config", tmp_path / "collector.toml")
    run("authority", "create", "--folder", tmp_path / "authority", "--name", "Utility")
    _trust(tmp_path)
    return tmp_path


def _trust(site: Path) -> None:
    worker = site / "keys" / "worker.public"
    run("authority", "trust", "--folder", site / "authority", "--worker", worker, "--out", site / "keys")


def _request(site: Path, chain: Chain, common_name: str | None = None) -> Path:
    key = make_tls_key(site / f"{chain.key.public.id.hex()}.pem")
    csr = x509.load_pem_x509_csr(make_csr(key, common_name or chain.name)).public_bytes(Encoding.DER)
    path = site / f"{chain.name}.request"
    path.write_bytes(requests.sign(Request(chain.name, chain.key.public, chain.box.public, csr, CONFIG), chain.key))
    return path


def _sign(site: Path, request: Path, *more: str) -> Result:
    folder, out = site / "authority", site / "enrolment"
    return run("sign", request, "--config", site / "collector.toml", "--authority", folder, "--out", out, *more)


def test_keys_are_private_and_never_made_twice(site: Path) -> None:
    """Mode 0600, and a second try changes nothing."""
    before = {path: path.read_bytes() for path in (site / "keys").iterdir()}
    with pytest.raises(FileThereError):
        run("keys", "--config", site / "collector.toml")
    assert {path: path.read_bytes() for path in (site / "keys").iterdir()} == before
    for name in ("ack.pem", "seal.pem", "box.pem", "tls-key.pem"):
        assert stat.S_IMODE((site / "keys" / name).stat().st_mode) == 0o600


def test_each_trust_document_follows_the_one_before(site: Path) -> None:
    """Signed by the folder's trust key, numbered, chained by hash; the worker finds its own keys in it."""
    first = trust.read((site / "keys" / "trust.plomba").read_bytes())
    _trust(site)
    second = trust.read((site / "keys" / "trust.plomba").read_bytes(), first)
    assert (first.number, second.number) == (1, 2)
    config = Config.from_toml(site / "collector.toml")
    assert read_trust(config, WorkerKeys.read(config.keys_folder)) == second


def test_a_gateway_is_registered_and_gets_its_enrolment(site: Path) -> None:
    """Trust document and certificate; signing again for the same keys is allowed, for other keys it is not."""
    chain = Chain("house-1", 1)
    request = _request(site, chain)
    shown = fingerprint(chain.key.public.octets)
    assert shown in _sign(site, request, "--expect-fingerprint", shown.upper()).stderr
    answer = unpack((site / "enrolment").read_bytes(), 65_536, "enrolment")
    assert isinstance(answer, list)
    assert (answer[0], answer[1]) == (1, (site / "keys" / "trust.plomba").read_bytes())
    assert isinstance(answer[2], bytes)
    assert x509.load_pem_x509_certificate(answer[2]).subject.rfc4514_string() == "CN=house-1"
    _sign(site, request)
    with pytest.raises(GatewayTakenError):
        _sign(site, _request(site, Chain("house-1", 2)))
    assert shown in run("fingerprint", "--config", site / "collector.toml").stdout


def test_a_request_that_is_not_what_it_says_is_refused(site: Path) -> None:
    """Another fingerprint, another common name, an altered byte: nothing is registered."""
    request = _request(site, Chain("house-1", 1))
    with pytest.raises(FingerprintError):
        _sign(site, request, "--expect-fingerprint", "00 11")
    with pytest.raises(PlombaError, match="PLB-X210"):
        _sign(site, _request(site, Chain("house-1", 3), "house-2"))
    octets = bytearray(request.read_bytes())
    octets[-1] ^= 1
    request.write_bytes(octets)
    with pytest.raises(PlombaError, match="PLB-X101"):
        _sign(site, request)
    request.write_bytes(b"")
    with pytest.raises(FormError):
        _sign(site, request)
    assert "gateway house-1" not in run("fingerprint", "--config", site / "collector.toml").stdout


@pytest.mark.parametrize("kind", ["nats", "mosquitto"])
def test_the_brokers_configuration_names_every_registered_gateway(site: Path, kind: str) -> None:
    """It is made from the register, in the broker's own folder."""
    _sign(site, _request(site, Chain("house-1", 1)))
    run("tls-key", "--name", "broker", "--folder", site / "broker")
    folder, request = site / "authority", site / "broker" / "tls-request.csr"
    signed = ["--csr", request, "--out", site / "broker" / "tls-cert.pem", "--host", "localhost"]
    run("authority", "certificate", "--folder", folder, "--name", "broker", "--role", "broker", *signed)
    run("broker-config", kind, "--config", site / "collector.toml", "--folder", site / "broker")
    text = "".join(path.read_text() for path in (site / "broker").glob("broker.*"))
    assert "house-1" in text
    assert "utility" in text


def test_every_fault_of_a_configuration_is_named_at_once(tmp_path: Path) -> None:
    """Unknown keys with the nearest name, wrong types and ranges, missing sections."""
    path = tmp_path / "collector.toml"
    path.write_text('collector = "Utility!"\nstroe = "x"\n[acknowledge]\nwindow = 0\ngroup = 5\n[limits]\nring = "x"\n')
    with pytest.raises(ConfigFileError) as caught:
        Config.from_toml(path)
    unknown = "stroe: expected a known key, got 'stroe'; did you mean 'store'"
    for piece in ("collector:", unknown, "window:", "group_ms", "ring:", "broker:"):
        assert piece in str(caught.value)
    path.write_text("a = [")
    with pytest.raises(ConfigFileError):
        Config.from_toml(path)


def test_nothing_is_shown_of_a_store_that_is_not_there(site: Path) -> None:
    """A command that only shows makes no store."""
    with pytest.raises(NotFoundError):
        run("status", "--config", site / "collector.toml")
    assert not (site / "collector.sqlite3").exists()


def test_every_command_has_help(site: Path) -> None:
    """Each says in a sentence what it does."""
    shown = run("--help").stdout
    for name in commands.list_commands(None):  # type: ignore[arg-type]
        assert name in shown
        assert len(run(name, "--help").stdout.splitlines()) > 3
