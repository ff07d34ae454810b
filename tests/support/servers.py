"""Real servers for tests: started on free ports in temporary folders, ended by their own process only."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.authority import Authority, Role
from collector.broker import (
    BrokerIdentity,
    BrokerSettings,
    mosquitto_config,
    nats_config,
    reload_broker,
    write_config,
)
from protocols.transports.pipe import PipeSettings
from protocols.transports.tls import make_csr, make_tls_key

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0
DAYS = 30


class ServerError(Exception):
    """A server did not start or stop as it should; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Party:
    """One party's certificate and key."""

    name: str
    role: Role
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SiteTls:
    """A site's authority and what it signed: for the broker "localhost", a collector and two gateways."""

    authority: Authority
    broker: Party
    collector: Party
    gateways: tuple[Party, Party]

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.authority.certificate_path

    def identities(self) -> list[BrokerIdentity]:
        """Who may connect to the broker."""
        return [BrokerIdentity(party.name, party.role) for party in (self.collector, *self.gateways)]


def make_party(
    authority: Authority, folder: Path, name: str, role: Role, hosts: tuple[str, ...] = (), *, days: int = DAYS
) -> Party:
    """A party that makes its key and has its request signed."""
    key_path = folder / f"{name}.key"
    certificate = folder / f"{name}.pem"
    request = make_csr(make_tls_key(key_path), name)
    certificate.write_bytes(authority.issue(request, name, role, days=days, hosts=hosts))
    return Party(name, role, certificate, key_path)


def make_site(folder: Path) -> SiteTls:
    """An authority and its parties in `folder`."""
    authority = Authority.create(folder / "authority", "Test site")
    return SiteTls(
        authority,
        make_party(authority, folder, "broker", Role.BROKER, ("localhost", "127.0.0.1")),
        make_party(authority, folder, "collector", Role.COLLECTOR),
        (
            make_party(authority, folder, "gateway-1", Role.GATEWAY),
            make_party(authority, folder, "gateway-2", Role.GATEWAY),
        ),
    )


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def catches_hangup(pid: int) -> bool:
    """Whether a process has a handler for SIGHUP: Mosquitto listens first, and a reload before that would end it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught & 1 << signal.SIGHUP - 1)


class Process:
    """A child process with a log file; started, asked to end, killed, always by its own id."""

    def __init__(self, arguments: Sequence[str], log: Path, ready: Callable[[], bool], user: str | None = None) -> None:
        self._arguments = list(arguments)
        self._log = log
        self._ready = ready
        self._user = user
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running child's process id."""
        if self._child is None:
            raise ServerError(f"{self._arguments[0]} is not running")
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self._user, group=self._user
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self._arguments[0]} did not start:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and wait."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(number)
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self._arguments[0]} did not end:\n{self.log()[-3000:]}") from None
        self._child = None

    def kill(self) -> None:
        """End it as a power cut would (its memory is gone, its files stay)."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")


class Broker:
    """A broker of one kind, "nats" or "mosquitto", with generated configuration in a folder of its own."""

    def __init__(self, kind: str, folder: Path, site: SiteTls) -> None:
        self.kind = kind
        self.site = site
        self.port = free_port()
        self.folder = folder
        store = folder / "store"
        store.mkdir()
        self.settings = BrokerSettings(
            "127.0.0.1", self.port, site.ca, site.broker.certificate, site.broker.key, store, max_connections=1000
        )
        self.config = folder / "broker.conf"
        self.acl = folder / "broker.acl"
        self.allow(site.identities())
        self.process = Process(_broker_command(kind, self.config), folder / "broker.log", self._ready)

    def _ready(self) -> bool:
        return listening(self.port) and catches_hangup(self.process.pid)

    def allow(self, identities: Iterable[BrokerIdentity]) -> None:
        """Write the configuration for these identities; a running broker sees it after `reload`."""
        if self.kind == "nats":
            write_config(self.config, nats_config(self.settings, identities))
            return
        account = "root" if os.geteuid() == 0 else "mosquitto"
        configuration, acl = mosquitto_config(self.settings, identities, acl_file=self.acl, user=account)
        write_config(self.acl, acl)
        write_config(self.config, configuration)

    def reload(self) -> None:
        """Let the running broker read its configuration again."""
        reload_broker(self.process.pid)
        time.sleep(0.3)  # neither broker says when it is done

    def client_port(self) -> int:
        """Where a nats-server speaks its own protocol (it cannot be switched off)."""
        found = re.findall(r"Listening for client connections on 127\.0\.0\.1:(\d+)", self.process.log())
        return int(found[-1])

    def pipe(self, party: Party | None, **changes: Any) -> PipeSettings:
        """Settings for a connection as `party` (None: without certificate)."""
        certificate, key = (party.certificate, party.key) if party is not None else (None, None)
        settings = PipeSettings("localhost", self.port, self.site.ca, certificate, key, connect_timeout_s=5.0)
        return dataclasses.replace(settings, **changes)


def find_program(name: str) -> str | None:
    """A program of the environment or the system; /usr/sbin is searched too, it is not on every user's path."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _broker_command(kind: str, config: Path) -> list[str]:
    program = find_program("nats-server" if kind == "nats" else "mosquitto")
    if program is None:
        raise ServerError(f"{kind} is not installed")
    return [program, "-c", str(config)]
