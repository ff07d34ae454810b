"""What a Modbus register is: table, address, kind of number, order of its bytes, unit and power of ten.

The order names the bytes as they come on the wire, "a" being the most significant: "abcd" is big-endian, "cdab" has the
low word first. Only orders that swap whole words or the bytes of every word occur; others are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocols import obis
from protocols.reading import NativeKey

Table = Literal["input", "holding"]
Kind = Literal[
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
    "bcd16",
    "bcd32",
    "bcd64",
    "mod10k32",  # each register holds 0 to 9999, a digit to the base of 10,000
    "mod10k48",
    "mod10k64",
    "text",
]
Counts = Literal["", "total", "resetting"]

FUNCTIONS: dict[Table, int] = {"holding": 3, "input": 4}  # read holding registers, read input registers
WORD = 2  # bytes of a register
ADDRESSES = 65_536  # of one table
MAX_COUNT = 125  # registers of one question: the byte count of the answer is one byte
WORDS: dict[Kind, int] = {
    "int16": 1,
    "uint16": 1,
    "bcd16": 1,
    "int32": 2,
    "uint32": 2,
    "bcd32": 2,
    "mod10k32": 2,
    "float32": 2,
    "mod10k48": 3,
    "float64": 4,
    "bcd64": 4,
    "mod10k64": 4,
    "int64": 4,
    "uint64": 4,
}
ORDERS = {
    1: ("ab", "ba"),
    2: ("abcd", "cdab", "badc", "dcba"),
    3: ("abcdef", "efcdab", "badcfe", "fedcba"),
    4: ("abcdefgh", "ghefcdab", "badcfehg", "hgfedcba"),
}
TEXT_WORDS = 16  # the longest text: 32 characters, as long as a serial number of the configuration


@dataclass(frozen=True, slots=True)
class Register:
    """One number of a meter, in one or more registers; `address` as on the wire, from 0.

    The value is the number x 10^`exponent` in `unit` (UCUM). `absent` are the numbers that mean "not available", as the
    unsigned integer of the bytes. `words` is given for a text only.

    `scale` is the address of a register of the same table that holds a further power of ten (int16, as SunSpec has it).
    `counts` says of a counter whether it is a total or begins again by itself, at power-up or a set day ("resetting").
    `torn`: the meter changes its words one after the other, so that an answer may hold halves of two numbers.
    """

    table: Table
    address: int
    label: str
    kind: Kind
    order: str = "ab"
    unit: str = ""
    exponent: int = 0
    absent: tuple[int, ...] = ()
    obis: str | None = None
    words: int = 0
    scale: int | None = None
    counts: Counts = ""
    torn: bool = False

    # How a model file is read into it: pydantic refuses what is unknown or of another type.
    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012 - read once, by pydantic

    def __post_init__(self) -> None:
        """Refuse what cannot be; ValueError names it."""
        if self.kind != "text":
            object.__setattr__(self, "words", WORDS[self.kind])
        elif not 1 <= self.words <= TEXT_WORDS:
            raise ValueError(f"expected 1 to {TEXT_WORDS} words of a text, got {self.words}")
        if not 0 <= self.address <= ADDRESSES - self.words:
            raise ValueError(f"expected an address from 0 to {ADDRESSES - self.words}, got {self.address}")
        orders = ORDERS[1] if self.kind == "text" else ORDERS[self.words]
        if self.order not in orders:
            raise ValueError(f"expected one of the orders {', '.join(orders)}, got {self.order}")
        if self.obis is not None:
            obis.from_text(self.obis)
        if self.scale is not None and (self.kind.startswith(("float", "text")) or not 0 <= self.scale < ADDRESSES):
            raise ValueError(f"expected the address of a scale register, of an integer, got {self.scale}")
        if self.torn and self.words == 1:
            raise ValueError("expected several words of a number that may be torn, got 1")

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.words

    @property
    def type(self) -> str:
        """All that is needed to decode it, as it stands in the native key: "input.int32.cdab"."""
        scaled = "" if self.scale is None else f".x{self.scale}"
        return f"{self.table}.{self.kind}.{self.order}{scaled}"

    def key(self, unit: int) -> NativeKey:
        """Its native key at the device `unit`."""
        return NativeKey.modbus(unit, self.address, self.type)
