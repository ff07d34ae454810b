"""The command that checks what left a collector: offline, with public keys alone; it knows no store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from collector import files
from collector.faults import MISHAPS, UnexpectedError
from collector.shown import leaf_shown, utc
from protocols.errors import PlombaError
from protocols.uplink import keyring, proof
from protocols.uplink.faults import KeyFileError
from protocols.uplink.keys import fingerprint
from protocols.uplink.proof import Checked, Keyring


@click.command()
@click.argument("paths", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--keys", "keys_path", type=click.Path(path_type=Path), required=True, help="File of public keys.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array with what each file proves.")
def verify(paths: tuple[Path, ...], keys_path: Path, as_json: bool) -> None:
    """Check exported batches, proofs and erased batches; exit code 0 only when every one verifies."""
    ring = read_ring(keys_path)
    results = [check(path, ring) for path in paths]
    if as_json:
        click.echo(json.dumps([_shown(path, each) for path, each in zip(paths, results, strict=True)], indent=1))
    else:
        for path, each in zip(paths, results, strict=True):
            click.echo(f"{path}: {each if isinstance(each, PlombaError) else _sentence(each)}")
    if any(isinstance(each, PlombaError) for each in results):
        raise SystemExit(1)


def read_ring(path: Path) -> Keyring:
    """The keys in a file.

    Raises:
        FileThereError, KeyFileError: it cannot be read, or is none.
    """
    try:
        text = files.read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise KeyFileError("text in UTF-8", str(error), str(path)) from None
    return keyring.from_text(text, str(path))


def check(path: Path, ring: Keyring) -> Checked | PlombaError:
    """What a file proves, or the named error that says why it proves nothing."""
    try:
        return check_octets(files.read(path), ring, str(path))
    except PlombaError as error:
        return error


def check_octets(octets: bytes, ring: Keyring, where: str) -> Checked | PlombaError:
    """The same for a file's bytes; it never raises for what is in them."""
    try:
        return proof.check(octets, ring)
    except PlombaError as error:
        return error
    except MISHAPS as error:
        return UnexpectedError("a file that a rule accepts or refuses", repr(error)[:200], where)


def _sentence(checked: Checked) -> str:
    header = checked.header
    kind = checked.form.rsplit("/", 1)[1]
    shown = f"{len(checked.leaves)} of {header.leaves} leaves"
    shown += f", erased: {_named(checked.erased)}" if checked.erased else ""
    return f"ok, {kind} {header.epoch.hex()}-{header.seq} of {header.gateway}, {shown}, sealed {utc(header.created_ms)}"


def _shown(path: Path, result: Checked | PlombaError) -> dict[str, object]:
    if isinstance(result, PlombaError):
        return {"file": str(path), "ok": False, "code": result.code, "message": str(result)}
    header, statement = result.header, result.statement
    return {
        "file": str(path),
        "ok": True,
        "form": result.form,
        "id": result.id.hex(),
        "gateway": header.gateway,
        "epoch": header.epoch.hex(),
        "seq": header.seq,
        "created": utc(header.created_ms),
        "key": fingerprint(result.key.octets),
        "received": None if statement is None else utc(statement.received_ms),
        "collector": None if statement is None else statement.collector,
        "leaves": [{"leaf": index} | leaf_shown(leaf) for index, leaf in result.leaves]
        + [{"leaf": index, "erased": True} for index in result.erased],
    }


def _named(leaves: Sequence[int]) -> str:
    """Leaves by their numbers, neighbours as a range: 0, 3-7."""
    found: list[list[int]] = []
    for each in leaves:
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)
