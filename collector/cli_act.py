"""The operator's commands: close a case, hand out evidence, proofs and public keys."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import click

from collector import carry, files, logs, prove
from collector.cases import close
from collector.cli import config_option, file_argument, folder_argument, json_option
from collector.cli_show import opened
from collector.config import Config
from collector.faults import NotFoundError
from collector.keys import TRUST, WorkerKeys
from protocols.errors import PlombaError
from protocols.transports.keyfiles import read_signing
from protocols.uplink import trust
from protocols.uplink.keys import fingerprint as shown

PARTIAL = 3


class _BatchId(click.ParamType[bytes]):
    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            octets = bytes.fromhex(str(value))
        except ValueError:
            octets = b""
        if len(octets) != 32:
            self.fail("expected the 64 hex digits of a batch id", param, ctx)
        return octets


batch_id = _BatchId()
_batch = click.option("--batch", type=batch_id, required=True, help="Id of the batch (64 hex digits).")
_out = click.option("--out", type=file_argument, required=True, help="The file to write; none may be there.")


@click.command("close-case")
@click.argument("number", type=click.IntRange(1))
@config_option
@click.option("--who", required=True, help="Who decides.")
@click.option("--why", required=True, help="Why; it is kept in the journal.")
def close_case(number: int, config_file: Path, who: str, why: str) -> None:
    """Close case NUMBER: what it held is released."""
    with opened(config_file) as (_, store):
        case = close(store, number, who, why, time.time_ns() // 1_000_000)
    click.echo(f"case {case.n} closed: {case.kind} {case.gateway}", err=True)


@click.command("import-batches")
@click.argument("paths", metavar="FILE...", type=file_argument, nargs=-1, required=True)
@config_option
@json_option
@click.option("--out", type=folder_argument, help="Folder for the acknowledgements; beside each file where left out.")
def import_batches(paths: tuple[Path, ...], config_file: Path, as_json: bool, out: Path | None) -> None:
    """Store what gateways' 'buffer export' wrote, and write the acknowledgements to carry back; it may be given again.

    Works beside a collector that runs. Exit code 3 when something was refused, or a file could not be read to its end.
    """
    logs.set_up()
    with opened(config_file) as (config, store):
        done = [carry.take(config, store, path, out) for path in paths]
    if as_json:
        click.echo(json.dumps([each.shown() for each in done], indent=1))
    else:
        for each in done:
            click.echo(each.sentence())
    for each in done:
        for problem in each.problems:
            click.echo(f"{each.file}: {problem}", err=True)
    if any(each.problems for each in done):
        raise SystemExit(PARTIAL)


@click.command()
@config_option
@click.option("--gateway", required=True, help="Whose batches.")
@click.option("--out", type=folder_argument, required=True, help="Folder for the files; made if missing.")
def export(config_file: Path, gateway: str, out: Path) -> None:
    """Write all batches of a gateway as files for 'verify', and the file of keys.

    Exit code 3 when the evidence of some batches does not hold: they are named and not written.
    """
    with opened(config_file) as (config, store):
        if gateway not in store.gateways.register():
            raise NotFoundError("a registered gateway", gateway, "the store")
        seal = read_signing(config.keys_folder / "seal.pem").public
        files.write(out / "keys.txt", prove.keys_file(store, config.collector, seal).encode(), replace=True)
        written, bad = 0, 0
        names: set[str] = set()
        for row in store.evidence.of(gateway):
            name = f"{row.epoch.hex()}-{row.seq:08d}"
            name = name if name not in names else f"{name}-{row.id.hex()[:16]}"  # another branch of a clone
            names.add(name)
            try:
                octets = prove.batch_file(store, row)
            except PlombaError as error:
                click.echo(f"{name}: {error}", err=True)
                bad += 1
                continue
            files.write(out / f"{name}.batch", octets, replace=True)
            written += 1
    click.echo(f"{written} batches, {bad} that do not hold", err=True)
    click.echo(str(out))
    if bad:
        raise SystemExit(PARTIAL)


@click.command()
@config_option
@_batch
@click.option("--leaf", type=click.IntRange(0, 4095), required=True, help="Index of the leaf.")
@_out
def proof(config_file: Path, batch: bytes, leaf: int, out: Path) -> None:
    """Write the proof of one leaf; it shows nothing of the others."""
    with opened(config_file) as (config, store):
        keys = WorkerKeys.read(config.keys_folder)
        octets = prove.leaf_proof(store, prove.find(store, batch), leaf, config.collector, keys.seal)
    files.write(out, octets)
    click.echo(str(out))


@click.command()
@config_option
@_batch
@click.option("--leaf", "leaves", type=click.IntRange(0, 4095), multiple=True, required=True, help="May be repeated.")
@_out
def erased(config_file: Path, batch: bytes, leaves: tuple[int, ...], out: Path) -> None:
    """Write a batch without the content of some leaves; it still verifies."""
    with opened(config_file) as (_, store):
        octets = prove.erased_batch(store, prove.find(store, batch), leaves)
    files.write(out, octets)
    click.echo(str(out))


@click.command("keys-file")
@config_option
def keys_file(config_file: Path) -> None:
    """Print all public keys for 'verify --keys', those of retired and revoked ones included."""
    with opened(config_file) as (config, store):
        keys = WorkerKeys.read(config.keys_folder)
        click.echo(prove.keys_file(store, config.collector, keys.seal.public), nl=False)


@click.command()
@config_option
def fingerprint(config_file: Path) -> None:
    """Print the fingerprints that people compare: of our keys, the trust document, the gateways' sealing keys."""
    config = Config.from_toml(config_file)
    keys = WorkerKeys.read(config.keys_folder)
    for name, key in (("ack", keys.ack.public), ("seal", keys.seal.public), ("box", keys.box.public)):
        click.echo(f"{name} {shown(key.octets)}")
    document = config.keys_folder / TRUST
    if document.exists():
        read = trust.read(files.read(document))
        click.echo(f"trust-{read.number} {shown(read.to_bytes())}")
    with suppress(NotFoundError), opened(config_file) as (_, store):
        for gateway in store.gateways.register().values():
            for known in gateway.keys.values():
                click.echo(f"gateway {gateway.name} {known.state} {shown(known.key.octets)}")
