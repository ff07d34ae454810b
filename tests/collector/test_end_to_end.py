"""The real daemon as a process over a real broker: what it acknowledges it has, whatever happens to it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from chain import CONFIG, Chain, reading
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from postgres import Postgresql
from servers import Broker, Party, Process

from collector.authority import Role
from collector.place import Place, Server
from protocols.transports.keyfiles import write_private
from protocols.transports.mqtt import Pipe, connect
from protocols.transports.tls import load_tls_key, make_csr
from protocols.uplink import request as requests
from protocols.uplink import topics, trust
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.batch import Batch
from protocols.uplink.envelope import close, open_envelope
from protocols.uplink.keys import PublicKey
from protocols.uplink.pack import unpack
from protocols.uplink.request import Request

pytestmark = pytest.mark.broker
GATEWAY = "gateway-1"
GROWTH_KIB = 64 * 1024  # of the daemon while the database stands: its queue and one group are bounded


def command(folder: Path, *arguments: str) -> str:
    """What a command of the collector prints."""
    program = [sys.executable, "-m", "collector.cli", *arguments, "--config", str(folder / "collector.toml")]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout


class Site:
    """A collector as an operator sets it up, on a broker of the fixtures, with one gateway enrolled."""

    def __init__(self, folder: Path, broker: Broker, store: Place) -> None:
        self.folder, self.broker, self.chain = folder, broker, Chain(GATEWAY, 5)
        port = broker.port
        (folder / "collector.toml").write_text(
            f'collector = "collector"\nstore = "{store}"\n'
            f'[broker]\nhost = "localhost"\nport = {port}\n[acknowledge]\ngroup_ms = 5\n'
        )
        command(folder, "keys")
        keys, authority = folder / "keys", broker.site.authority.folder
        self.trust_key(authority)
        out = ["--folder", str(authority), "--worker", str(keys / "worker.public"), "--out", str(keys)]
        subprocess.run(
            [sys.executable, "-m", "collector.cli", "authority", "trust", *out], check=True, capture_output=True
        )
        party = broker.site.gateways[0]
        pem = make_csr(load_tls_key(party.key), GATEWAY)
        csr = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
        asked = Request(GATEWAY, self.chain.key.public, self.chain.box.public, csr, CONFIG)
        (folder / "request").write_bytes(requests.sign(asked, self.chain.key))
        command(
            folder, "sign", str(folder / "request"), "--authority", str(authority), "--out", str(folder / "enrolment")
        )
        answer = unpack((folder / "enrolment").read_bytes(), 65_536, "enrolment")
        assert isinstance(answer, list)
        assert isinstance(answer[1], bytes)
        assert isinstance(answer[2], bytes)
        self.document = trust.read(answer[1])
        certificate = folder / "gateway.pem"
        certificate.write_bytes(answer[2])
        self.party = Party(GATEWAY, Role.GATEWAY, certificate, party.key)
        run = [sys.executable, "-m", "collector.cli", "run", "--config", str(folder / "collector.toml")]
        log = folder / "collector.log"
        self.daemon = Process(run, log, lambda: log.read_text().count("linked to the broker") > self.starts)
        self.starts = 0

    def trust_key(self, authority: Path) -> None:
        """A trust key beside the fixtures' authority, which was made without one."""
        (authority / "trust.plomba").unlink(missing_ok=True)
        if not (authority / "trust.pem").exists():
            write_private(authority / "trust.pem", ed25519.Ed25519PrivateKey.generate())

    def start(self) -> None:
        """Start the daemon and wait for its link."""
        self.daemon.start()
        self.starts += 1

    def box(self) -> PublicKey:
        """The collector's box key, as the trust document names it."""
        return self.document.boxes[0]

    async def next_word(self, pipe: Pipe) -> Acknowledgement:
        """The next acknowledgement, opened and verified as a gateway does."""
        async for topic, packet in pipe.messages():
            assert topic == topics.down(GATEWAY, "ack")
            content = open_envelope(packet, "ack", GATEWAY, {self.chain.box.public.id: self.chain.box})
            self.document.ack.verify("ack", content.header, content.signature)
            return Acknowledgement.from_bytes(content.header)
        raise AssertionError("the pipe ended")


@pytest.fixture
def site(tmp_path: Path, broker: Broker, place: Place) -> Iterator[Site]:
    """A site whose daemon is not running yet."""
    folder = tmp_path / "collector"
    folder.mkdir()
    made = Site(folder, broker, place)
    yield made
    made.daemon.kill()


async def test_a_batch_published_over_mqtt_comes_back_as_stored(site: Site) -> None:
    """One batch through TLS, broker, daemon and store, and a valid acknowledgement that names its id."""
    site.start()
    batch = site.chain.seal()
    async with asyncio.timeout(60), connect(site.broker.pipe(site.party)) as pipe:
        await pipe.subscribe([topics.down(GATEWAY, "ack")])
        await pipe.publish(topics.up(GATEWAY, "batch"), close(batch.content, "batch", GATEWAY, site.box()))
        while not (word := await site.next_word(pipe)).stored:
            pass
    assert [(each.first, each.last, each.id) for each in word.stored] == [(1, 1, batch.id)]
    site.daemon.stop(signal.SIGTERM)
    assert "event=stopped" in site.daemon.log()
    shown = json.loads(command(site.folder, "status", "--json"))
    assert shown["gateways"][0]["stored"] == 1
    assert shown["gateways"][0]["held"] == 0


async def test_kill_9_loses_nothing_that_was_acknowledged(site: Site) -> None:
    """The daemon is killed again and again at any moment; every id that it ever named is in the store at the end."""
    seeded, named, last = random.Random(11), set[bytes](), (0, 0)
    ids: dict[int, bytes] = {}
    async with asyncio.timeout(110), connect(site.broker.pipe(site.party)) as pipe:
        await pipe.subscribe([topics.down(GATEWAY, "ack")])
        for _ in range(4):
            site.start()
            for _ in range(seeded.randrange(5, 20)):
                batch = site.chain.seal()
                ids[batch.header.seq] = batch.id
                await pipe.publish(topics.up(GATEWAY, "batch"), close(batch.content, "batch", GATEWAY, site.box()))
            # An acknowledgement of an earlier life may still be on its way: numbers rise over all of them.
            word = await site.next_word(pipe)
            while not word.stored:
                word = await site.next_word(pipe)
            site.daemon.kill()
            assert word.order > last
            last = word.order
            for each in word.stored:
                assert ids[each.last] == each.id
                named |= {ids[seq] for seq in range(each.first, each.last + 1)}
    assert named
    assert named <= exported(site.folder)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_the_live_broker_is_checked_by_a_command(site: Site) -> None:
    """All that must fail fails and all that must work works; it says so for each attempt."""
    one, other = site.broker.site.gateways
    parties = [("--gateway", one), ("--other", other)]
    arguments = [str(each) for name, party in parties for each in (name, party.name, party.certificate, party.key)]
    shown = json.loads(command(site.folder, "broker-check", *arguments, "--json"))
    assert len(shown) == 12
    assert all(each["ok"] for each in shown)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("broker", ["nats"], indirect=True)
async def test_c01_c02_a_database_that_is_stopped_and_killed_loses_and_doubles_nothing(
    tmp_path: Path, broker: Broker, cluster: Postgresql
) -> None:
    """C01, C02: nothing is acknowledged meanwhile, memory stays bounded, and the daemon goes on by itself."""
    folder = tmp_path / "collector"
    folder.mkdir()
    site = Site(folder, broker, Server(cluster.dsn))
    sealed = [site.chain.seal([reading(50 * each + slot) for slot in range(50)]) for each in range(60)]
    site.start()
    async with asyncio.timeout(110), connect(broker.pipe(site.party)) as pipe:
        await pipe.subscribe([topics.down(GATEWAY, "ack")])
        await _until_stored(site, pipe, sealed[:10])
        before = _resident_kib(site.daemon.pid)
        stopped = _signalled(cluster.processes(), signal.SIGSTOP)
        for _ in range(20):
            await _send(site, pipe, sealed[10:])
        await _said(site, "nothing is stored or acknowledged")
        assert _resident_kib(site.daemon.pid) < before + GROWTH_KIB
        assert await _waiting(pipe) == []
        _signalled(stopped, signal.SIGCONT)
        cluster.process.stop(signal.SIGKILL)
        site.daemon.kill()
        cluster.process.start()
        site.start()
        await _until_stored(site, pipe, sealed)
    rows = json.loads(command(folder, "status", "--json"))["gateways"][0]
    assert (rows["stored"], rows["readings"], rows["undecoded"]) == (60, 3_000, 0)
    site.daemon.kill()


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
@pytest.mark.parametrize("seat", [[], ["--worker", "1/2"]], ids=["plain", "seated"])
async def test_a_second_collector_on_one_database_stands_in_for_the_first(site: Site, seat: list[str]) -> None:
    """It does nothing of the work while the first one is there, and all of it when that one is killed."""
    site.start()
    batches = [site.chain.seal() for _ in range(2)]
    log = site.folder / "second.log"
    run = [sys.executable, "-m", "collector.cli", "run", "--config", str(site.folder / "collector.toml"), *seat]
    second = Process(run, log, lambda: "no share" in log.read_text())
    second.start()
    try:
        async with asyncio.timeout(60), connect(site.broker.pipe(site.party)) as pipe:
            await pipe.subscribe([topics.down(GATEWAY, "ack")])
            await _until_stored(site, pipe, batches[:1])
            site.daemon.kill()
            await _until_stored(site, pipe, batches)
        assert log.read_text().count("no share") == 1
        shown = json.loads(command(site.folder, "status", "--json"))
        assert [each["worker"] for each in shown["workers"]] == [seat[-1] if seat else "1/1"]
    finally:
        second.kill()
    assert exported(site.folder) == {each.id for each in batches}


async def _send(site: Site, pipe: Pipe, batches: Sequence[Batch]) -> None:
    for batch in batches:
        await pipe.publish(topics.up(GATEWAY, "batch"), close(batch.content, "batch", GATEWAY, site.box()))


async def _until_stored(site: Site, pipe: Pipe, batches: Sequence[Batch]) -> None:
    """Offer batches, again and again, until a word says that all are stored."""
    stored = 0
    while stored < len(batches):
        await _send(site, pipe, batches[stored:])
        word = await site.next_word(pipe)
        stored = max((each.last for each in word.stored), default=stored)


async def _said(site: Site, text: str) -> None:
    while text not in site.daemon.log():  # noqa: ASYNC110 - another process says it
        await asyncio.sleep(0.2)


def _signalled(pids: list[int], number: signal.Signals) -> list[int]:
    for pid in pids:
        os.kill(pid, number)
    return pids


async def _waiting(pipe: Pipe) -> list[str]:
    """The topics of what came down and was not read yet."""
    found: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            async for topic, _ in pipe.messages():
                found.append(topic)
    return found


def _resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))


def exported(folder: Path) -> set[bytes]:
    """The ids of all batches that leave the store and verify."""
    command(folder, "export", "--gateway", GATEWAY, "--out", str(folder / "out"))
    files = [str(path) for path in sorted((folder / "out").glob("*.batch"))]
    program = [sys.executable, "-m", "collector.cli", "verify", *files, "--json"]
    done = subprocess.run([*program, "--keys", str(folder / "out" / "keys.txt")], check=True, capture_output=True)
    return {bytes.fromhex(each["id"]) for each in json.loads(done.stdout)}
