"""The configuration of a way to Modbus meters, TCP address or serial line; and how buses and meters are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from protocols.settings.table import Key, Limits, Wanted

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"  # of buses and devices; they go under the seal

Name = Annotated[
    str,
    Limits(pattern=NAME, max_length=64),
    Wanted(
        "a name in quotes: 1 to 64 letters, digits, blanks, dots, - or _",
        "begin it with a letter or digit and leave out umlauts: the name goes under the seal",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusWay:
    """A way to Modbus meters: a TCP address, or a serial line."""

    protocol: Annotated[Literal["modbus"], Key("What is spoken on this bus.", examples=("modbus",))]
    name: Annotated[Name, Key("Our name of the bus.", examples=("sub-meters",))]
    url: Annotated[
        Annotated[
            str,
            Limits(pattern=r"^(tcp(\+rtu)?|rfc2217)://[^/:\s]+:[0-9]{1,5}$"),
            Wanted("tcp://HOST:PORT, tcp+rtu://HOST:PORT or rfc2217://HOST:PORT in quotes"),
        ]
        | None,
        Key(
            "tcp://HOST:PORT for Modbus TCP (meters, and converters that translate), tcp+rtu://HOST:PORT for "
            "RTU frames over TCP (serial servers that pass bytes on, with settings of their own), rfc2217://HOST:PORT "
            "where the server takes speed and parity from here.",
            examples=("tcp://192.0.2.20:502",),
        ),
    ] = None
    port: Annotated[
        Annotated[str, Limits(min_length=1, max_length=4096), Wanted("a port's path in quotes")] | None,
        Key(
            "In place of url: the serial port of an RTU line (RS-485), by its stable path "
            "(ls -l /dev/serial/by-id shows it).",
            examples=("/dev/serial/by-id/usb-FTDI_FT232R-if00-port2",),
        ),
    ] = None
    baud: Annotated[
        Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200],
        Key("Speed of the RTU line, in baud."),
    ] = 9600
    parity: Annotated[
        Literal["even", "odd", "none"], Key("Parity of the RTU line; the standard has even, many meters none.")
    ] = "even"
    stop_bits: Annotated[
        Literal[1, 2], Key("Stop bits of the RTU line; without parity the standard has 2, many meters 1.")
    ] = 1
    answer_ms: Annotated[
        int,
        Limits(ge=50, le=10_000),
        Key("Milliseconds that a meter on the RTU line may take from our frame to its own."),
    ] = 1_000

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}{self.stop_bits}"

    @property
    def rtu(self) -> bool:
        """Whether RTU frames are spoken: on a line, or over TCP."""
        return self.url is None or not self.url.startswith("tcp:")
