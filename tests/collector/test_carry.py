"""A file of batches that was carried by hand: all of it is taken in, however long it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chain import CONFIG, Chain
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from collector.cli import commands
from collector.keys import WorkerKeys
from collector.receive import GROUP
from protocols.transports.tls import make_csr, make_tls_key
from protocols.uplink import carried
from protocols.uplink import request as requests
from protocols.uplink.envelope import close
from protocols.uplink.request import Request

TOML = 'collector = "utility"\n[broker]\nhost = "localhost"\nport = 8883\n'


def run(*arguments: object) -> str:
    """What a command writes to standard output."""
    result = CliRunner().invoke(commands, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a collector that knows the gateway house-1."""
    config = tmp_path / "collector.toml"
    config.write_text(TOML)
    run("keys", "--config", config)
    run("authority", "create", "--folder", tmp_path / "authority", "--name", "Utility")
    worker = tmp_path / "keys" / "worker.public"
    run("authority", "trust", "--folder", tmp_path / "authority", "--worker", worker, "--out", tmp_path / "keys")
    return tmp_path


def enrolled(site: Path, chain: Chain) -> None:
    """The gateway's request is signed."""
    csr = x509.load_pem_x509_csr(make_csr(make_tls_key(site / "tls.pem"), chain.name)).public_bytes(Encoding.DER)
    request = site / "request"
    request.write_bytes(requests.sign(Request(chain.name, chain.key.public, chain.box.public, csr, CONFIG), chain.key))
    place = ("--config", site / "collector.toml", "--authority", site / "authority")
    run("sign", request, *place, "--out", site / "enrolment")


@pytest.mark.parametrize("count", [1, GROUP, 3 * GROUP + 1])
def test_every_batch_of_a_file_is_stored_once(site: Path, count: int) -> None:
    """Also those behind the first group."""
    chain = Chain()
    enrolled(site, chain)
    box = WorkerKeys.read(site / "keys").box.public
    packets = [close(chain.seal().content, "batch", chain.name, box) for _ in range(count)]
    stick = site / "stick"
    stick.write_bytes(carried.head(chain.name, "batch") + b"".join(map(carried.frame, packets)))
    found: list[Any] = []
    for _ in range(2):
        found += json.loads(run("import-batches", stick, "--config", site / "collector.toml", "--json"))
    shown = [(each["packets"], each["stored"], each["known"], each["problems"]) for each in found]
    assert shown == [(count, count, 0, []), (count, 0, count, [])]
