"""The options of every command that works on one DLMS/COSEM meter, configured or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.desk import Asked

AUTHS = ("none", "lls", "hls-md5", "hls-sha1", "hls-gmac", "hls-sha256")
CIPHERINGS = ("none", "authenticated", "encrypted", "both")
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200)
FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--port", help="A serial port, as /dev/ttyUSB0: an RS-485 line, or with --mode-e an optical head."),
    click.option(
        "--url",
        help="tcp://HOST:PORT (TCP wrapper), tcp+hdlc://HOST:PORT (HDLC frames), or rfc2217://HOST:PORT (a serial "
        "server that takes its settings from here).",
    ),
    click.option("--baud", type=click.Choice(BAUDS), help="Speed of the line, or of the head at most.  [9600]"),
    click.option("--parity", type=click.Choice(["none", "even", "odd"]), help="Parity of the line.  [none]"),
    click.option("--mode-e", is_flag=True, default=None, help="The port is an optical head: opened at 300 baud."),
    click.option("--opening-address", help="With --mode-e: the device address, where several hear one head."),
    click.option(
        "--answer-ms",
        type=click.IntRange(100, 10_000),
        help="Time for an answer.  [2000 on a line; over TCP 2500 with HDLC, else 5000]",
    ),
    click.option("--pause-ms", type=click.IntRange(0, 10_000), help="Silence within an answer, at most.  [0]"),
    click.option("--client", type=click.IntRange(1, 0x3FFF), help="Client address.  [16, the public client]"),
    click.option("--server", type=click.IntRange(0, 0x3FFF), help="Logical device.  [1]"),
    click.option("--physical", type=click.IntRange(0, 0x3FFF), help="Physical HDLC address, on a shared line."),
    click.option("--address-bytes", type=click.Choice([1, 2, 4]), help="Length of the HDLC address.  [the shortest]"),
    click.option("--auth", type=click.Choice(AUTHS), help="How the client proves who it is.  [none]"),
    click.option("--password-file", type=FILE, help="The password, or the secret of HLS with a hash (chmod 600)."),
    click.option(
        "--key-file",
        type=FILE,
        help="Global keys: encryption, then authentication key, each a line of 32 hex digits, of 64 with suite 2 "
        "(chmod 600).",
    ),
    click.option("--suite", type=click.Choice([0, 1, 2]), help="Security suite.  [0; 2 with keys of 64 digits]"),
    click.option("--ciphering", type=click.Choice(CIPHERINGS), help="With --key-file.  [both]"),
    click.option("--system-title", metavar="HEX", help="Our system title, 16 digits.  [one made once, in --state]"),
    click.option("--meter-title", metavar="HEX", help="The meter's, where it does not send it, or to check it."),
    click.option("--dedicated", is_flag=True, default=None, help="A key of its own for the association."),
    click.option("--general-ciphering", is_flag=True, default=None, help="The general form of ciphering."),
    click.option("--challenge-bytes", type=click.IntRange(8, 64), help="Length of our challenge.  [16]"),
    click.option("--range-ends", type=click.Choice(["offset", "local"]), help="What rows are asked for by.  [offset]"),
    click.option(
        "--offset-sign", type=click.Choice(["standard", "reversed"]), help="Of the meter's offset from UTC.  [standard]"
    ),
    click.option("--association", metavar="OBIS", help="Name of the association's object.  [0-0:40.0.0.255]"),
    click.option("--state", type=FILE, help="Folder of invocation counters and our title.  [~/.local/state/plomba]"),
)


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """Which meter a command means: a NAME of a file, or what the options say (only those that were given)."""

    name: str | None
    path: Path | None
    given: dict[str, Any]

    def asked(self) -> Asked:
        """The meter that is meant.

        Raises:
            click.UsageError: it is named in no way, in two ways, or not well.
            PlombaError: its file, password or keys cannot be used.
        """
        from gateway import dlms_adhoc  # noqa: PLC0415
        from gateway.config_file import read_configuration  # noqa: PLC0415

        if self.name is None:
            if self.path is not None:
                raise click.UsageError(f"which meter of {self.path} is meant? write its name behind the command")
            return dlms_adhoc.named(self.given)
        if self.path is None:
            raise click.UsageError(f"in which file is {self.name}? name it with --config FILE")
        if self.given:
            wrong = ", ".join(f"--{each.replace('_', '-')}" for each in self.given)
            raise click.UsageError(f"the file says how {self.name} is reached: leave {wrong} out")
        return dlms_adhoc.configured(self.path, read_configuration(self.path), self.name)

    def alone(self) -> Asked:
        """The meter that is meant, which no daemon reads.

        Raises:
            LineOwned: one does.
            click.UsageError, PlombaError: as for `asked`.
        """
        from gateway.faults import LineOwned  # noqa: PLC0415

        asked = self.asked()
        if asked.through is not None:
            got = f"one that the daemon, process {asked.through.process}, reads"
            raise LineOwned("a line that nobody reads", got, asked.bus.name)
        return asked


def meter_options(command: Callable[..., None]) -> Callable[..., None]:
    """METER of --config FILE, or the options that name one, as one argument."""

    @functools.wraps(command)
    def with_meter(meter: str | None, path: Path | None, **others: Any) -> None:
        names = {each.name for each in _params()}
        given = {key: value for key, value in others.items() if key in names and value is not None}
        rest = {key: value for key, value in others.items() if key not in names}
        command(where=MeterOptions(meter, path, given), **rest)

    for option in reversed(_OPTIONS):
        with_meter = option(with_meter)
    with_meter = click.option("--config", "path", type=FILE, help="The gateway's configuration (TOML).")(with_meter)
    return click.argument("meter", required=False)(with_meter)


@functools.cache
def _params() -> tuple[click.Parameter, ...]:
    """The options, as click knows them."""

    def nothing(**_: Any) -> None:
        """Carry the options."""

    for option in _OPTIONS:
        option(nothing)
    return tuple(click.command()(nothing).params)
