"""The options of every command that works on an M-Bus line, configured or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from protocols.mbus.timing import BAUDS

_MODES = [f"{bits}{parity}{stop}" for bits in "87" for parity in "ENO" for stop in "12"]


@dataclass(frozen=True, slots=True)
class LineOptions:
    """What the options of a command say of an M-Bus line."""

    path: Path | None
    port: str | None
    url: str | None
    baud: int | None
    mode: str | None

    def configured(self, name: str) -> Path:
        """The file in which `name` is configured."""
        if self.path is None:
            raise click.UsageError(f"in which file is {name}? name it with --config FILE")
        if self.port is not None or self.url is not None:
            raise click.UsageError(f"the file says where {name} is: leave --port and --url out")
        return self.path


def line_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name an M-Bus line, as one argument."""

    @click.option("--config", "path", type=click.Path(path_type=Path), help="The gateway's configuration (TOML).")
    @click.option("--port", help="A serial port, as /dev/ttyUSB0.")
    @click.option("--url", help="A converter in the network, tcp://HOST:PORT or rfc2217://HOST:PORT.")
    @click.option("--baud", type=click.Choice(BAUDS), help="Speed of the line.  [default: the file's, or 2400]")
    @click.option("--mode", type=click.Choice(_MODES), help="Data bits, parity and stop bits.  [default: 8E1]")
    @functools.wraps(command)
    def with_line(
        path: Path | None, port: str | None, url: str | None, baud: int | None, mode: str | None, **others: Any
    ) -> None:
        command(line=LineOptions(path, port, url, baud, mode), **others)

    return with_line
