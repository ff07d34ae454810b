"""The command `plomba-simulator dlms`: electricity meters on TCP, which may push what nobody asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import click

from protocols.dlms.access import Framing
from protocols.dlms.ciphering import Keys
from simulators.dlms.faults import NAMED, Faults, Mood, Moods
from simulators.dlms.habits import HELP, changed
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.plates import plates
from simulators.dlms.push import Aim, Form, Protect, Pusher, PushFault, PushFaults
from simulators.keyfile import keys_in
from simulators.record import Record

_port = click.IntRange(0, 65_535)
PLACE = "HOST:PORT"
FRAMINGS = (Framing.WRAPPER, Framing.HDLC)


@click.command("dlms")
@click.option("--record", type=click.Path(path_type=Path), required=True, help="File that records every answer.")
@click.option("--wrapper-port", type=_port, default=0, help="Of the meter behind the TCP wrapper (0: a free port).")
@click.option("--hdlc-port", type=_port, default=0, help="Of the meter behind HDLC.")
@click.option("--password-file", type=click.Path(path_type=Path), required=True, help="Password of the HDLC meter.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Keys of both, as for 'meters'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Makes growth and faults repeatable.")
@click.option("--history-rows", type=click.IntRange(0, 8_640), default=96, show_default=True, help="Of load profiles.")
@click.option("--habits", default="", metavar="TEXT", help=HELP)
@click.option("--faults", "written", default="", help=f"Odds of answers, as drop=0.05: {', '.join(NAMED)}.")
@click.option("--moods", default="", help=f"Of one visit in four: {', '.join(each.value for each in Mood)}.")
@click.option("--push", "target", metavar=PLACE, help="Both meters push there.")
@click.option("--push-every", type=click.FloatRange(0.05), default=60.0, show_default=True, help="Seconds.")
@click.option("--push-udp", is_flag=True, help="Over UDP instead of TCP.")
@click.option("--push-confirmed", is_flag=True, help="Want an answer, and push again where none comes.")
@click.option(
    "--push-protect",
    type=click.Choice([each.value for each in Protect]),
    default="none",
    show_default=True,
    help="How a push is ciphered.",
)
@click.option(
    "--push-form",
    type=click.Choice([each.value for each in Form]),
    default="listed",
    show_default=True,
    help="How a push says what it holds.",
)
@click.option(
    "--push-faults", "faults", default="", help=f"Of one push in four: {', '.join(each.value for each in PushFault)}."
)
def dlms(
    *,
    record: Path,
    wrapper_port: int,
    hdlc_port: int,
    password_file: Path,
    key_file: Path | None,
    seed: int,
    history_rows: int,
    habits: str,
    written: str,
    moods: str,
    target: str | None,
    push_every: float,
    push_udp: bool,
    push_confirmed: bool,
    push_protect: str,
    push_form: str,
    faults: str,
) -> None:
    """Two electricity meters on loopback TCP until SIGTERM, with --push also senders of data-notifications."""
    if push_protect != "none" and key_file is None:
        raise click.UsageError("--push-protect wants --key-file")
    try:
        visits = tuple(Mood(each.strip()) for each in moods.split(",") if each.strip())
        kinds = tuple(PushFault(each.strip()) for each in faults.split(",") if each.strip())
        keys = None if key_file is None else keys_in(key_file)
        password = password_file.read_bytes().strip()
        for each in plates(password, keys):
            changed(each, habits)
        answers = [Faults.parse(written, seed + number) for number in range(len(FRAMINGS))]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--moods, --habits, --faults or --push-faults") from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    aim = None
    if target is not None:
        host, _, port = target.rpartition(":")
        if not host or not port.isdigit():
            raise click.BadParameter(f"expected {PLACE}, got {target!r}", param_hint="--push")
        protect, form = Protect(push_protect), Form(push_form)
        aim = Aim(host, int(port), push_every, push_udp, protect, form, push_confirmed)
    noted = Record(record)
    meters = DlmsMeters(
        noted,
        _utc_ms,
        seed,
        password=password,
        keys=keys,
        history_rows=history_rows,
        changed=lambda plate: changed(plate, habits),
    )
    for number, framing in enumerate(FRAMINGS):
        outlet = meters.outlet(framing)
        outlet.moods, outlet.faults = Moods(visits, seed + number), answers[number]
    try:
        asyncio.run(_served(meters, (wrapper_port, hdlc_port), noted, aim, keys, PushFaults(kinds, seed)))
    finally:
        noted.close()
    click.echo("stopped", err=True)


async def _served(
    meters: DlmsMeters, ports: tuple[int, int], record: Record, aim: Aim | None, keys: Keys | None, faults: PushFaults
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await meters.start(*ports)
    click.echo(f"wrapper port {meters.wrapper_port}, HDLC port {meters.hdlc_port}, process {os.getpid()}", err=True)
    for plate in meters.plates:
        click.echo(f"  serial {plate.serial}, title {plate.title.hex().upper()}", err=True)
    pushing = [] if aim is None else [_pusher(meters, each, record, aim, keys, faults) for each in FRAMINGS]
    try:
        await asyncio.gather(stop.wait(), *(each.run(stop) for each in pushing))
    finally:
        await meters.stop()


def _pusher(
    meters: DlmsMeters, framing: Framing, record: Record, aim: Aim, keys: Keys | None, faults: PushFaults
) -> Pusher:
    mine = PushFaults(faults.kinds, faults.seed + FRAMINGS.index(framing), faults.every)
    return Pusher(meters.outlet(framing).meter, aim, record, _utc_ms, keys, mine)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
