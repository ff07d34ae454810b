"""The command that checks what left a collector: offline, with public keys alone; it knows no store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from collector import files
from collector.faults import MISHAPS, UnexpectedError
from collector.proving import check as values
from collector.proving import told
from collector.proving.check import Proven
from collector.proving.claim import BEGIN
from collector.shown import leaf_shown, utc
from protocols.errors import PlombaError
from protocols.uplink import keyring, proof
from protocols.uplink.faults import KeyFileError
from protocols.uplink.keys import fingerprint
from protocols.uplink.proof import Checked, Keyring

FALSE, NOT_WHOLE = 1, 3
Result = Checked | Proven | PlombaError


@click.command()
@click.argument("paths", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--keys", "keys_path", type=click.Path(path_type=Path), required=True, help="File of public keys.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array with what each file proves.")
def verify(paths: tuple[Path, ...], keys_path: Path, as_json: bool) -> None:
    """Check exported batches, erased ones, proofs of a leaf and of values; exit code 0 only when every one verifies.

    A proof of values is reckoned anew from its sealed readings, and is told in words: what is sealed, what is computed
    from it, what is the utility's own word, what is missing. Exit code 1 when a file or a value is false, 3 when none
    is and values are missing, or are not computed from readings.
    """
    ring = read_ring(keys_path)
    results = [check(path, ring) for path in paths]
    if as_json:
        click.echo(json.dumps([_shown(path, each) for path, each in zip(paths, results, strict=True)], indent=1))
    else:
        for path, each in zip(paths, results, strict=True):
            click.echo(f"{path}: {_words(each)}")
    if any(_is_false(each) for each in results):
        raise SystemExit(FALSE)
    if any(isinstance(each, Proven) and not each.whole for each in results):
        raise SystemExit(NOT_WHOLE)


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


def check(path: Path, ring: Keyring) -> Result:
    """What a file proves, or the named error that says why it proves nothing."""
    try:
        return check_octets(files.read(path), ring, str(path))
    except PlombaError as error:
        return error


def check_octets(octets: bytes, ring: Keyring, where: str) -> Result:
    """The same for a file's bytes; it never raises for what is in them."""
    try:
        return values.check(octets, ring) if octets.startswith(BEGIN) else proof.check(octets, ring)
    except PlombaError as error:
        return error
    except MISHAPS as error:
        return UnexpectedError("a file that a rule accepts or refuses", repr(error)[:200], where)


def _is_false(result: Result) -> bool:
    return isinstance(result, PlombaError) or (isinstance(result, Proven) and bool(result.wrong))


def _words(result: Result) -> str:
    if isinstance(result, PlombaError):
        return str(result)
    return "\n  ".join(told.sentences(result)) if isinstance(result, Proven) else _sentence(result)


def _sentence(checked: Checked) -> str:
    header = checked.header
    kind = checked.form.rsplit("/", 1)[1]
    shown = f"{len(checked.leaves)} of {header.leaves} leaves"
    shown += f", erased: {_named(checked.erased)}" if checked.erased else ""
    return f"ok, {kind} {header.epoch.hex()}-{header.seq} of {header.gateway}, {shown}, sealed {utc(header.created_ms)}"


def _shown(path: Path, result: Result) -> dict[str, object]:
    if isinstance(result, PlombaError):
        return {"file": str(path), "ok": False, "code": result.code, "message": str(result)}
    if isinstance(result, Proven):
        return {"file": str(path)} | told.shown(result)
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
