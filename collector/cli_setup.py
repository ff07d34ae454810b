"""The commands that set a site up: keys, authority, enrolment of gateways, the broker's configuration."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from collector import broker, enrol, files
from collector import keys as names
from collector.authority import Authority, Role
from collector.cli import config_option, file_argument, folder_argument
from collector.config import Config
from collector.store.opening import open_store
from collector.trustee import BROKER_DAYS, trust_worker
from collector.trustee import create as create_authority
from protocols.transports.tls import make_csr, make_tls_key
from protocols.uplink.keys import fingerprint

_name = click.option("--name", required=True, help="3 to 32 of a-z, 0-9 and '-'.")


@click.command()
@config_option
def keys(config_file: Path) -> None:
    """Make this worker's keys, and worker.public for the authority. Never overwrites a key."""
    config = Config.from_toml(config_file)
    public = names.make(config.collector, config.keys_folder)
    for name, key in (("ack", public.ack), ("seal", public.seal), ("box", public.box)):
        click.echo(f"{name:4} {fingerprint(key.octets)}", err=True)
    click.echo(str(config.keys_folder / names.PUBLIC))


@click.group()
def authority() -> None:
    """The site's authority, in a folder of its own that stays offline."""


@authority.command()
@click.option("--folder", type=folder_argument, required=True, help="Where the authority lives; made if missing.")
@_name
def create(folder: Path, name: str) -> None:
    """Make a certificate authority and a trust key."""
    key = create_authority(folder, name)
    click.echo(f"trust key {fingerprint(key.octets)}", err=True)
    click.echo(str(folder / "ca.pem"))


@authority.command()
@click.option("--folder", type=folder_argument, required=True, help="The authority's folder.")
@click.option("--worker", type=file_argument, required=True, help="worker.public as 'keys' made it.")
@click.option("--out", type=folder_argument, required=True, help="Where the files for the worker go: its keys folder.")
def trust(folder: Path, worker: Path, out: Path) -> None:
    """Sign the next trust document and the worker's certificate."""
    public = names.WorkerPublic.from_bytes(files.read(worker))
    for name, key in (("ack", public.ack), ("seal", public.seal), ("box", public.box)):
        click.echo(f"{name:4} {fingerprint(key.octets)}", err=True)
    made = trust_worker(folder, public)
    for name, octets in ((names.TRUST, made.octets), (names.CA, made.ca), (names.CERTIFICATE, made.certificate)):
        files.write(out / name, octets, replace=True)
    click.echo(f"trust document {made.document.number}, hash {made.document.hash.hex()}", err=True)
    click.echo(str(out / names.TRUST))


@authority.command()
@click.option("--folder", type=folder_argument, required=True, help="The authority's folder.")
@_name
@click.option("--role", type=click.Choice(["broker", "collector", "gateway"]), required=True, help="Who it is for.")
@click.option("--host", "hosts", multiple=True, help="DNS name or address of a broker; may be repeated.")
@click.option("--csr", type=file_argument, required=True, help="The certificate request (PEM).")
@click.option("--out", type=file_argument, required=True, help="Where the certificate goes (PEM).")
def certificate(folder: Path, name: str, role: str, hosts: tuple[str, ...], csr: Path, out: Path) -> None:
    """Sign a certificate request; the common name in it must be NAME."""
    signed = Authority.open(folder).issue(files.read(csr), name, Role(role), days=BROKER_DAYS, hosts=hosts)
    files.write(out, signed, replace=True)
    click.echo(str(out))


@click.command("tls-key")
@_name
@click.option("--folder", type=folder_argument, required=True, help="Where key and request go; made if missing.")
def tls_key(name: str, folder: Path) -> None:
    """Make a TLS key and a certificate request, for whoever runs a broker."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write(folder / "tls-request.csr", make_csr(make_tls_key(folder / "tls-key.pem"), name), replace=True)
    click.echo(str(folder / "tls-request.csr"))


@click.command()
@click.argument("request", type=file_argument)
@config_option
@click.option("--authority", "authority_folder", type=folder_argument, required=True, help="The authority's folder.")
@click.option("--out", type=file_argument, required=True, help="Where the enrolment for the gateway goes.")
@click.option(
    "--expect-fingerprint", help="Refuse unless the sealing key has this fingerprint, as the device shows it."
)
def sign(request: Path, config_file: Path, authority_folder: Path, out: Path, expect_fingerprint: str | None) -> None:
    """Register the gateway that made REQUEST and write its enrolment."""
    config = Config.from_toml(config_file)
    asked = enrol.check(files.read(request), expect_fingerprint)
    click.echo(f"{asked.gateway} {fingerprint(asked.sealing.octets)}", err=True)
    trusted = files.read(config.keys_folder / names.TRUST)
    store = open_store(config.store)
    try:
        answer = enrol.enrol(asked, store, authority_folder, trusted, time.time_ns() // 1_000_000)
    finally:
        store.close()
    files.write(out, answer, replace=True)
    click.echo(str(out))


@click.command("broker-config")
@click.argument("kind", type=click.Choice(["nats", "mosquitto"]))
@config_option
@click.option("--folder", type=folder_argument, required=True, help="The broker's folder: tls-key.pem, tls-cert.pem.")
@click.option("--ca", type=file_argument, help="The authority's certificate [default: ca.pem in FOLDER].")
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port [default: the configuration's].")
@click.option("--user", default="mosquitto", show_default=True, help="Account of Mosquitto when started as root.")
def broker_config(
    kind: str, config_file: Path, folder: Path, ca: Path | None, listen: str, port: int | None, user: str
) -> None:
    """Write broker.conf (and broker.acl) for all registered gateways; the broker reads them again on SIGHUP."""
    config = Config.from_toml(config_file)
    store = open_store(config.store)
    try:
        gateways = [broker.BrokerIdentity(name, Role.GATEWAY) for name in store.gateways.register()]
    finally:
        store.close()
    folder = folder.resolve()
    kept = folder / "store"
    kept.mkdir(parents=True, exist_ok=True)
    trusted = folder / names.CA if ca is None else ca.resolve()
    if ca is None and not trusted.exists():
        files.write(trusted, files.read(config.keys_folder / names.CA))
    settings = broker.BrokerSettings(
        listen, port or config.port, trusted, folder / names.CERTIFICATE, folder / names.TLS, kept
    )
    identities = [broker.BrokerIdentity(config.collector, Role.COLLECTOR), *gateways]
    if kind == "nats":
        broker.write_config(folder / "broker.conf", broker.nats_config(settings, identities))
    else:
        acl = folder / "broker.acl"
        text, rights = broker.mosquitto_config(settings, identities, acl_file=acl, user=user)
        broker.write_config(acl, rights)
        broker.write_config(folder / "broker.conf", text)
        if os.geteuid() == 0:
            click.echo(f"when it is started as root it reads these files as {user}: chown -R {user} {folder}", err=True)
    click.echo(str(folder / "broker.conf"))
