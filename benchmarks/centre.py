"""What a gateway forwards to: Mosquitto with client certificates, and one who acknowledges once a second what came."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from collector.authority import Authority, Role
from collector.broker import BrokerIdentity, BrokerSettings, mosquitto_config, write_config
from protocols.transports import mqtt
from protocols.transports.pipe import PipeSettings
from protocols.transports.tls import make_csr, make_tls_key
from protocols.uplink import batch as batches
from protocols.uplink import envelope, hello, limits, topics
from protocols.uplink.acknowledgement import KIND, Acknowledgement
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.hello import Hello
from protocols.uplink.keys import BoxKey, PublicKey, SigningKey
from protocols.uplink.ranges import Range
from protocols.uplink.trust import Trust

GATEWAY, CENTRE = "bench-gateway", "bench-centre"
WINDOW = 1_024  # batches in flight that the centre asks for
ACKNOWLEDGE_S = 1.0  # the contract: at most one a second
START_S = 20.0


@dataclass(slots=True)
class Centre:
    """Opens what comes and acknowledges it as stored; it keeps nothing, so that it costs the gateway little time."""

    gateway_box: PublicKey
    box: BoxKey = field(default_factory=BoxKey.generate)
    ack: SigningKey = field(default_factory=SigningKey.generate)
    number: int = 0
    nonce: bytes | None = None
    stored: list[Range] = field(default_factory=list)

    @property
    def trust(self) -> Trust:
        """The document that the gateway believes."""
        ack, box = self.ack.public, self.box.public
        return Trust(1, CENTRE, None, (), (), ack, None, ack, (box,), (ack,), (limits.VERSION,))

    async def run(self, settings: PipeSettings) -> None:
        """Until it is ended."""
        async with mqtt.connect(settings) as pipe:
            await pipe.subscribe([topics.up(GATEWAY, kind) for kind in ("hello", "batch")])
            speaking = asyncio.create_task(self._speak(pipe))
            async for topic, packet in pipe.messages():
                self._take(topics.parse(topic).kind, packet)
            speaking.cancel()

    def _take(self, kind: str, packet: bytes) -> None:
        content = envelope.open_envelope(packet, kind, GATEWAY, {self.box.public.id: self.box})
        if kind == hello.KIND:
            self.nonce = Hello.from_bytes(content.header).nonce
            return
        came = batches.parse(content)
        epoch, seq = came.header.epoch, came.header.seq
        last = self.stored[-1] if self.stored else None
        if last is not None and (last.epoch, last.last) == (epoch, seq - 1):
            self.stored[-1] = Range(epoch, last.first, seq, came.id)
        elif last is None or last.epoch != epoch or seq > last.last:
            self.stored.append(Range(epoch, seq, seq, came.id))

    async def _speak(self, pipe: mqtt.Pipe) -> None:
        while True:
            await asyncio.sleep(ACKNOWLEDGE_S)
            if self.nonce is None and not self.stored:
                continue
            self.number += 1
            said, self.nonce = self._word(self.nonce), None
            content = Content(said, self.ack.sign(KIND, said), Codec.PLAIN, b"")
            await pipe.publish(topics.down(GATEWAY, KIND), envelope.close(content, KIND, GATEWAY, self.gateway_box))

    def _word(self, nonce: bytes | None) -> bytes:
        stored = tuple(self.stored[-limits.RANGES :])
        now_ms = time.time_ns() // 1_000_000
        versions = (limits.VERSION,)
        return Acknowledgement(
            CENTRE, GATEWAY, 1, self.number, nonce, now_ms, stored, (), (), WINDOW, 1, versions, None
        ).to_bytes()


@dataclass(frozen=True, slots=True)
class Site:
    """How the gateway reaches its centre, and whom it believes."""

    pipe: PipeSettings
    trust: Trust


@contextmanager
def running(folder: Path, gateway_box: PublicKey) -> Iterator[Site]:
    """Broker and centre as processes of their own, files in `folder`."""
    authority, port = Authority.create(folder / "authority", "Bench"), _free_port()
    pipes = {
        name: _pipe(authority, folder, name, role, port)
        for name, role in (("broker", Role.BROKER), (GATEWAY, Role.GATEWAY), (CENTRE, Role.COLLECTOR))
    }
    centre = Centre(gateway_box)
    with ExitStack() as stack:
        process = subprocess.Popen((_mosquitto(), "-c", _broker(folder, pipes["broker"])), stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        _wait_for(port)
        work = multiprocessing.get_context("fork").Process(
            target=lambda: asyncio.run(centre.run(pipes[CENTRE])), daemon=True
        )
        work.start()
        stack.callback(work.join)
        stack.callback(work.terminate)
        yield Site(pipes[GATEWAY], centre.trust)


def _pipe(authority: Authority, folder: Path, name: str, role: Role, port: int) -> PipeSettings:
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    hosts = ("localhost",) if role is Role.BROKER else ()
    certificate.write_bytes(authority.issue(make_csr(make_tls_key(key), name), name, role, days=1, hosts=hosts))
    return PipeSettings("localhost", port, authority.certificate_path, certificate, key)


def _broker(folder: Path, own: PipeSettings) -> Path:
    assert own.certificate is not None
    assert own.key is not None
    settings = BrokerSettings("127.0.0.1", own.port, own.ca, own.certificate, own.key, folder)
    known = [BrokerIdentity(CENTRE, Role.COLLECTOR), BrokerIdentity(GATEWAY, Role.GATEWAY)]
    account = "root" if os.geteuid() == 0 else "mosquitto"
    config, rights = folder / "broker.conf", folder / "broker.acl"
    text, acl = mosquitto_config(settings, known, acl_file=rights, user=account)
    write_config(rights, acl)
    write_config(config, text)
    return config


def _mosquitto() -> str:
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise SystemExit("expected mosquitto to be installed (make services), found none")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "the broker did not start"
        time.sleep(0.02)
