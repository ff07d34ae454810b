"""Which registers are read together: one question for each block, never one for each register.

A block is contiguous and of one table. It reads over a gap no longer than the meter allows, is no longer than the meter
allows, and never ends inside a number, nor between a number and its scale register: what one answer shows is of one
moment, so no number is torn (but by a meter that changes it meanwhile, see `protocols.modbus.torn`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocols.modbus.registers import MAX_COUNT, WORD, Register, Table


@dataclass(frozen=True, slots=True)
class Span:
    """The registers of one question, in the order of their addresses."""

    table: Table
    address: int
    count: int
    registers: tuple[Register, ...]

    def octets_of(self, register: Register, words: bytes) -> bytes:
        """The bytes of `register` in the span's `words`, as they came."""
        start = (register.address - self.address) * WORD
        return words[start : start + register.words * WORD]

    def scale_of(self, register: Register, words: bytes) -> int | None:
        """The further power of ten of `register` in the span's `words`; None where it has no scale register."""
        if register.scale is None:
            return None
        start = (register.scale - self.address) * WORD
        return int.from_bytes(words[start : start + WORD], "big", signed=True)


def plan(registers: Iterable[Register], largest: int = MAX_COUNT, gap: int = 0) -> tuple[Span, ...]:
    """The questions for `registers`: at most `largest` words each, over at most `gap` words that nobody asked for."""
    spans: list[Span] = []
    for register in sorted(registers, key=lambda each: (each.table, _first(each), each.address, each.words)):
        last = spans[-1] if spans else None
        if last is not None and _fits(last, register, largest, gap):
            end = max(last.address + last.count, _end(register))
            spans[-1] = Span(last.table, last.address, end - last.address, (*last.registers, register))
        else:
            first = _first(register)
            spans.append(Span(register.table, first, _end(register) - first, (register,)))
    return tuple(spans)


def _first(register: Register) -> int:
    """Where the number or its scale begins."""
    return register.address if register.scale is None else min(register.address, register.scale)


def _end(register: Register) -> int:
    """The first address behind both."""
    return register.end if register.scale is None else max(register.end, register.scale + 1)


def _fits(span: Span, register: Register, largest: int, gap: int) -> bool:
    near = _first(register) - (span.address + span.count) <= gap
    return span.table == register.table and near and _end(register) - span.address <= largest
