"""The configuration of a way to Modbus meters, TCP address or serial line; and how buses and meters are named."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocols.settings.words import Wanted

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"  # of buses and devices; they go under the seal

Name = Annotated[
    str,
    Field(pattern=NAME, max_length=64),
    Wanted(
        "a name in quotes: 1 to 64 letters, digits, blanks, dots, - or _",
        "begin it with a letter or digit and leave out umlauts: the name goes under the seal",
    ),
]


class ModbusWay(BaseModel):
    """A way to Modbus meters: a TCP address, or a serial line."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    protocol: Literal["modbus"] = Field(description="What is spoken on this bus.", examples=["modbus"])
    name: Name = Field(description="Our name of the bus.", examples=["sub-meters"])
    url: (
        Annotated[
            str,
            Field(pattern=r"^(tcp(\+rtu)?|rfc2217)://[^/:\s]+:[0-9]{1,5}$"),
            Wanted("tcp://HOST:PORT, tcp+rtu://HOST:PORT or rfc2217://HOST:PORT in quotes"),
        ]
        | None
    ) = Field(
        default=None,
        description="tcp://HOST:PORT for Modbus TCP (meters, and converters that translate), tcp+rtu://HOST:PORT for "
        "RTU frames over TCP (serial servers that pass bytes on, with settings of their own), rfc2217://HOST:PORT "
        "where the server takes speed and parity from here.",
        examples=["tcp://192.0.2.20:502"],
    )
    port: Annotated[str, Field(min_length=1, max_length=4096), Wanted("a port's path in quotes")] | None = Field(
        default=None,
        description="In place of url: the serial port of an RTU line (RS-485), by its stable path "
        "(ls -l /dev/serial/by-id shows it).",
        examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port2"],
    )
    baud: Literal[300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200] = Field(
        default=9600, description="Speed of the RTU line, in baud."
    )
    parity: Literal["even", "odd", "none"] = Field(
        default="even", description="Parity of the RTU line; the standard has even, many meters none."
    )
    stop_bits: Literal[1, 2] = Field(
        default=1, description="Stop bits of the RTU line; without parity the standard has 2, many meters 1."
    )
    answer_ms: int = Field(
        default=1_000,
        ge=50,
        le=10_000,
        description="Milliseconds that a meter on the RTU line may take from our frame to its own.",
    )

    @property
    def mode(self) -> str:
        """Data bits, parity and stop bits, as `SerialLine.open` takes them."""
        return f"8{self.parity[0].upper()}{self.stop_bits}"

    @property
    def rtu(self) -> bool:
        """Whether RTU frames are spoken: on a line, or over TCP."""
        return self.url is None or not self.url.startswith("tcp:")
