"""The command `plomba-gateway`: data on stdout, talk on stderr; exit codes 0 ok, 1 failed, 2 usage, 3 partial."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli_buffer import buffer
from gateway.cli_dlms import objects, probe, profile
from gateway.cli_exchange import exchange
from gateway.cli_line import LineOptions, line_options
from gateway.cli_services import mbus
from gateway.cli_tools import doctor, support_bundle, time
from protocols.catalogue import read_catalogue
from protocols.errors import FileUnusable, PlombaError
from protocols.settings.problems import ReportedError, coloured
from protocols.shell import completion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Configuration
    from gateway.status import Status

FAILED = 1

_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="The gateway's configuration (TOML)."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Group(click.Group):
    """Says expected faults in one line and exits with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReportedError as error:
            click.echo(error.report(coloured(sys.stderr)), err=True)
            ctx.exit(FAILED)
        except PlombaError as error:
            click.echo(str(error), err=True)
            ctx.exit(FAILED)
        except OSError as error:
            click.echo(str(FileUnusable.of(error)), err=True)
            ctx.exit(FAILED)


@click.group(cls=_Group)
@click.version_option(package_name="plomba")
def main() -> None:
    """The gateway: reads meters, seals what they show, keeps it and forwards it."""


@main.command()
@_config
@_json
@click.option("--online", is_flag=True, help="Read each meter once and reach the broker, step by step.")
@click.pass_context
def check(ctx: click.Context, path: Path, as_json: bool, online: bool) -> None:
    """Check the configuration, show what it comes to, and forecast the bus time; 0 well, 1 failed, 3 only hints."""
    from gateway import cli_check  # noqa: PLC0415

    ctx.exit(cli_check.check(path, as_json, online))


@main.command()
@click.argument("code", required=False)
@_json
@click.pass_context
def explain(ctx: click.Context, code: str | None, as_json: bool) -> None:
    """Say what an error code means, who can remedy it and how; without a code: list them all."""
    text, known = read_catalogue().page(code, as_json)
    click.echo(text, err=not known)
    ctx.exit(0 if known else FAILED)


@main.command()
@click.argument("telegram", nargs=-1, required=True, metavar="HEX")
@_json
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    help="Decipher: encryption, then authentication key, each a line of 32 hex digits, of 64 with suite 2 (chmod 600).",
)
@click.option("--system-title", metavar="HEX", multiple=True, help="... of a sender, where the telegram has none.")
@click.option("--dedicated-key-file", type=click.Path(path_type=Path), help="... under the key of one association.")
@click.option("--master-key-file", type=click.Path(path_type=Path), help="... under a key that travels wrapped.")
def decode(
    telegram: tuple[str, ...],
    as_json: bool,
    key_file: Path | None,
    system_title: tuple[str, ...],
    dedicated_key_file: Path | None,
    master_key_file: Path | None,
) -> None:
    """Explain an M-Bus or DLMS/COSEM telegram byte by byte, offline; HEX is whole frames, or - for one a line on stdin.

    M-Bus link frames; HDLC frames, TCP wrapper messages, bare APDUs and data of DLMS/COSEM: told by how they begin.
    With --key-file general-glo, general-ded, glo- and ded- APDUs of suites 0 to 2 are deciphered, and general-ciphering
    under an identified or wrapped key (not an agreed one); a wrong tag is told.
    System title and dedicated key are taken from AARQ, AARE and initiate-request, too, also from lines before.
    """
    from gateway import cli_decode  # noqa: PLC0415

    opener = cli_decode.opener_of(key_file, system_title, dedicated_key_file, master_key_file)
    if telegram == ("-",):
        cli_decode.decode_lines((each.decode("utf-8-sig", "replace") for each in sys.stdin.buffer), as_json, opener)
    else:
        cli_decode.decode(" ".join(telegram), as_json, opener)


@main.command()
@click.argument("bus", required=False)
@line_options
@click.option("--primary", is_flag=True, help="Search addresses 1 to 250 instead of the meters' own numbers.")
@click.option("--reads", is_flag=True, help="With --primary: for meters that answer nothing but a read.")
@click.option("--letters", is_flag=True, help="Try A-F in the numbers, too.")
@click.option("--every-manufacturer", is_flag=True, help="Where one number is there twice, try all (takes hours).")
@click.option("--expect", type=click.IntRange(0), help="How many meters there should be.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="A file to go on from when the scan was left; gone when all is done.",
)
@click.pass_context
def scan(
    ctx: click.Context,
    bus: str | None,
    line: LineOptions,
    primary: bool,
    reads: bool,
    letters: bool,
    every_manufacturer: bool,
    expect: int | None,
    state: Path | None,
) -> None:
    """Find the meters of an M-Bus line and print what to configure; 0 all clear, 1 failed, 3 something is open.

    The line is BUS of --config FILE, or --port, or --url.
    """
    from gateway import adhoc  # noqa: PLC0415
    from gateway import scan as scanning  # noqa: PLC0415
    from gateway.lines import Place  # noqa: PLC0415
    from protocols.mbus.walk import Choices  # noqa: PLC0415

    if bus is None:
        place, name = adhoc.place(line.path, line.port, line.url, line.baud, line.mode), scanning.NAME
    else:
        found = adhoc.line(line.configured(bus), bus)
        place, name = adhoc.spoken(Place.of(found), line.baud, line.mode), bus
    choices = Choices(letters, every_manufacturer)
    ctx.exit(scanning.scan(scanning.Scan(place, primary, reads, choices, expect, state, name)))


@main.command()
@click.argument("meter", required=False)
@line_options
@click.option("--address", type=click.IntRange(0, 254), help="The meter's primary address; 254: whoever is alone.")
@click.option("--secondary", metavar="NUMBER", help="Its 8 digits, F for any, or all 16 of its secondary address.")
@_json
@click.option("--raw", is_flag=True, help="Print what came in hex, one answer a line.")
@click.option("--all", "every", is_flag=True, help="Read every meter of --config FILE, a line for each.")
@click.option(
    "--store", is_flag=True, help="Seal what is read: it goes to the collector as a reading beside the slots."
)
@click.pass_context
def read(
    ctx: click.Context,
    meter: str | None,
    line: LineOptions,
    address: int | None,
    secondary: str | None,
    as_json: bool,
    raw: bool,
    every: bool,
    store: bool,
) -> None:
    """Read a meter now and show what it answers; nothing is sealed or stored, except with --store.

    The meter is METER of --config FILE, of M-Bus, DLMS or Modbus; or an M-Bus meter by --address or --secondary on the
    line of --port or --url. While the daemon of that FILE runs, it is the one that reads, when nothing else is due.
    With --all: 0 every meter was read, 3 some were, 1 none.
    """
    from gateway import adhoc, cli_read  # noqa: PLC0415

    if as_json and raw:
        raise click.UsageError("--json or --raw: --json has what came, too")
    form = cli_read.Form(as_json, raw)
    by_option = address is not None or secondary is not None
    if store:
        if (meter is None) is not every or by_option or line.baud or line.mode or raw:
            raise click.UsageError(
                "--store seals METER, or with --all every meter, of --config FILE; leave the rest out"
            )
        path = line.configured(meter or "--all")
        ctx.exit(cli_read.store(path, [] if meter is None else [meter], as_json))
    if every:
        if meter is not None or by_option or line.baud or line.mode:
            raise click.UsageError("--all reads every meter of --config FILE as it is configured: leave the rest out")
        ctx.exit(cli_read.read_all(line.configured("--all"), form))
    if meter is None:
        place = adhoc.place(line.path, line.port, line.url, line.baud, line.mode)
        ctx.exit(cli_read.read(cli_read.by_options(adhoc.named(place, address, secondary)), form))
    if by_option:
        raise click.UsageError("the file says how METER is reached: leave --address and --secondary out")
    ctx.exit(cli_read.read(cli_read.one(line.configured(meter), meter, line.baud, line.mode), form))


@main.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("gateway.toml"),
    show_default=True,
    help="The configuration to write (TOML).",
)
@click.option("--gateway", "name", metavar="NAME", help="Name of this gateway: 3 to 32 of a-z, 0-9 and -.")
@click.option("--broker", metavar="HOST:PORT", help="Where the broker is.")
@click.option(
    "--bus",
    "buses",
    metavar="WORDS",
    multiple=True,
    help="A line: 'PROTOCOL PORT-OR-URL NAME=ANSWER ...', as 'modbus tcp://192.0.2.20:502 unit=1 model=MODEL'.",
)
@click.option(
    "--existing",
    type=click.Choice(["keep", "replace", "stop"]),
    help="What to do with a configuration that is there.  [default: ask; keep with --yes]",
)
@click.option("--records", type=click.Path(file_okay=False, path_type=Path), help="Folder for the records.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults for what no option says.")
@click.pass_context
def init(
    ctx: click.Context,
    path: Path,
    name: str | None,
    broker: str | None,
    buses: tuple[str, ...],
    existing: str | None,
    records: Path | None,
    yes: bool,
) -> None:
    """Set up a new site: find its meters, read them, write the configuration, the keys and a commissioning record.

    Asks plain questions; Enter takes the answer in brackets. Ctrl-C leaves, and the same command goes on where it was.
    The answers of --bus have these names: name, baud, parity; search (numbers or addresses) and of an M-Bus meter its
    proposed name; opening of a DLMS line, and meter, physical, client, server, auth, password_file, ciphering, suite,
    encryption_key_file, authentication_key_file, system_title, model, cadence_s of each meter on it; stop_bits of a
    Modbus line, and unit, model, meter, cadence_s of each meter on it. keep-METER=yes keeps one that does not answer.
    The record comes as text, PDF and sealed (.plomba), beside the configuration. 0 all meters were read, 1 failed,
    3 some were not read, or it was left.
    """
    from gateway import init as walking  # noqa: PLC0415
    from gateway.questions import Questions  # noqa: PLC0415

    options = {"gateway": name, "broker": broker, "existing": existing}
    questions = Questions({key: [each] for key, each in options.items() if each is not None}, silent=yes)
    lines = tuple(walking.words(each) for each in buses)
    ctx.exit(walking.init(walking.Site(path, records or path.absolute().parent, questions, lines)))


@main.command()
@_config
def keys(path: Path) -> None:
    """Make the sealing, box and TLS key; what is there is never overwritten."""
    from gateway import enrol  # noqa: PLC0415
    from protocols.transports.keyfiles import claim  # noqa: PLC0415
    from protocols.uplink.keys import fingerprint  # noqa: PLC0415

    configuration = _read(path)
    folder = configuration.keys_folder
    claim(folder, f"gateway {configuration.gateway}")
    made = enrol.make_keys(folder)
    click.echo(f"made {', '.join(made)} in {folder}" if made else f"all keys were in {folder} already", err=True)
    click.echo(fingerprint(enrol.read_keys(folder).sealing.public.octets))


@main.command()
@_config
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the request is written.")
def request(path: Path, out: Path) -> None:
    """Write the enrolment request and print the sealing key's fingerprint, to be compared by the operator."""
    from gateway import enrol  # noqa: PLC0415
    from gateway.files import write_whole  # noqa: PLC0415
    from protocols.uplink.keys import fingerprint  # noqa: PLC0415

    configuration = _read(path)
    write_whole(out, enrol.make_request(configuration))
    click.echo(f"request of {configuration.gateway} written to {out}", err=True)
    click.echo(fingerprint(enrol.read_keys(configuration.keys_folder).sealing.public.octets))


@main.command()
@_config
@click.argument("enrolment", type=click.Path(path_type=Path))
@click.option("--trust-hash", help="Accept only the trust document with this SHA-256 (hex).")
def accept(path: Path, enrolment: Path, trust_hash: str | None) -> None:
    """Check and keep what the collector's authority signed: trust document and TLS certificate."""
    from gateway import enrol  # noqa: PLC0415

    found = enrol.accept(_read(path), enrolment.read_bytes(), trust_hash)
    click.echo(f"trust document {found.number} of {found.collector} accepted", err=True)
    click.echo(found.hash.hex())


@main.command()
@_config
def run(path: Path) -> None:
    """Read, seal, keep and forward until SIGTERM."""
    from gateway.aside import Aside  # noqa: PLC0415

    reading = Aside(partial(_read_with_models, path))
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # where it is installed, structlog loads 4 MB of it
    from gateway import daemon, logs  # noqa: PLC0415 - while it reads
    from protocols.models import files  # noqa: PLC0415

    logs.set_up()
    configuration, models = reading.result()
    files.take_over(models)
    daemon.run(configuration)


@main.command()
@_config
@_json
def status(path: Path, as_json: bool) -> None:
    """Show what the buffer holds and what the collector said last."""
    from gateway import newcomers  # noqa: PLC0415
    from gateway.status import read_status  # noqa: PLC0415
    from gateway.successors import standing  # noqa: PLC0415

    configuration = _read(path)
    folder, most = configuration.state_folder, configuration.buffer.max_bytes
    offers, searches = newcomers.standing(configuration), newcomers.searches(configuration)
    found = read_status(folder, most, standing(configuration), offers, searches)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        _show(found)


@main.command()
@_config
@_json
def batches(path: Path, as_json: bool) -> None:
    """List the batches in the buffer, oldest first."""
    from gateway.status import list_batches  # noqa: PLC0415

    found = list_batches(_read(path).state_folder)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in found]))
        return
    for each in found:
        refused = f" refused: {each.refused}" if each.refused else ""
        click.echo(
            f"{each.epoch} {each.seq:6} {shown_time(each.created_ms)} {each.readings:5} readings {each.bytes:7} bytes "
            f"{each.mark}{refused}"
        )


@main.command()
@_config
@click.option("--seq", type=click.IntRange(1), required=True, help="The batch's number.")
@click.option("--epoch", help="Its epoch (hex); the newest where it is left out.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the batch is written.")
def export(path: Path, seq: int, epoch: str | None, out: Path) -> None:
    """Write one batch to a file, so that a person can carry it; it verifies offline."""
    from gateway import status as reader  # noqa: PLC0415
    from gateway.files import write_whole  # noqa: PLC0415

    try:
        wanted = None if epoch is None else bytes.fromhex(epoch)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--epoch") from error
    octets = reader.export(_read(path).state_folder, seq, wanted)
    write_whole(out, octets)
    click.echo(f"{len(octets)} bytes written to {out}", err=True)


def _read(path: Path) -> Configuration:
    from gateway.config_file import read_configuration  # noqa: PLC0415

    return read_configuration(path)


def _read_with_models(path: Path) -> tuple[Configuration, Mapping[tuple[str, str], Any]]:
    from gateway.config_file import read_with_models  # noqa: PLC0415

    return read_with_models(path)


def _show(found: Status) -> None:
    last = found.last_acknowledgement
    lines: list[tuple[str, object]] = [
        ("epoch", found.epoch or "none yet"),
        ("newest batch", found.seq or "none yet"),
        ("batches", f"{found.batches} ({found.readings} readings)"),
        ("stored", f"{found.stored}, of them safe {found.safe}"),
        ("not stored", f"{found.not_stored} ({found.readings_not_stored} readings)"),
        ("oldest not stored", shown_time(found.oldest_ms) if found.oldest_ms else "none"),
        ("bytes", f"{found.bytes} of {found.max_bytes}"),
        (
            "last acknowledgement",
            f"{last.generation}.{last.number} at {shown_time(last.time_ms)}" if last else "none yet",
        ),
        ("set aside", found.set_aside),
        ("in quarantine", f"{found.quarantined} readings, taken without a key"),
    ]
    lines += [(f"refused {each.code}", f"{each.epoch} {each.seq}") for each in found.refused]
    lines += [(f"{name} {code}", count) for name, codes in found.counters.items() for code, count in codes.items()]
    lines += [(f"last push {name}", shown_time(at_ms)) for name, at_ms in sorted(found.last_push.items())]
    lines += [
        (f"another meter {each.device}", f"{each.new} in place of {each.old} since {shown_time(each.since_ms)}")
        for each in found.successors
    ]
    lines += [
        (f"newcomer on {each.bus}", f"{each.meter}, found {shown_time(each.found_ms)}: {each.text}")
        for each in found.newcomers
    ]
    lines += [(f"search on {each.bus}", each) for each in found.searches]
    for name, value in lines:
        click.echo(f"{name + ':':24}{value}")


def shown_time(instant_ms: int) -> str:
    """An instant of ours, UTC."""
    return datetime.datetime.fromtimestamp(instant_ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


for command in (
    *(buffer, completion("plomba-gateway"), doctor, exchange, mbus, objects, probe, profile, support_bundle, time),
):
    main.add_command(command)


if __name__ == "__main__":
    main()
