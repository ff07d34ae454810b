"""What the command `objects` does: the object list of the client's association, with our names and its rights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from gateway.desk import Asked, desk_of, names_of
from gateway.lines import MACHINE, Lines
from protocols import obis
from protocols.dlms import listing, naming, rights, words
from protocols.dlms.data import Data
from protocols.dlms.faults import AccessRefused
from protocols.dlms.listing import ASSOCIATION, CURRENT, Listed
from protocols.dlms.objects import VALUE, Attribute
from protocols.transports.dlms import Asking

OTHERS = 8  # names of associations that are tried where the meter does not know that of the current one


def objects(asked: Asked, as_json: bool, lines: Lines = MACHINE) -> None:
    """Read the object list and print it.

    Raises:
        MeterError, LinkError: no usable answer.
    """
    who, found = asyncio.run(_read(asked, lines))
    if as_json:
        click.echo(json.dumps(_row(asked, who, found)))
        return
    click.echo("\n".join(_lines(found)))
    click.echo(f"{who}, client {asked.access.client}: {len(found)} objects", err=True)


async def _read(asked: Asked, lines: Lines) -> tuple[str, tuple[Listed, ...]]:
    with closing(desk_of(asked, lines)) as desk:
        async with desk.associated() as association:
            name, serial = await names_of(association)
            return name or serial or "a meter that does not say who it is", listing.objects(await _listed(association))


async def _listed(association: Asking) -> Data:
    """The list of the association that asks; some meters know it by its own number alone."""
    for number in range(OTHERS):
        name = CURRENT[:4] + bytes((number,)) + CURRENT[5:]
        try:
            return (await association.get(Attribute(ASSOCIATION, name, VALUE))).data
        except AccessRefused:
            if number == OTHERS - 1:
                raise
    raise AssertionError  # the last one returns or raises


def _row(asked: Asked, who: str, found: tuple[Listed, ...]) -> dict[str, Any]:
    of = rights.version(found)
    return {
        "meter": who,
        "client": asked.access.client,
        "objects": [
            {
                "class": each.class_id,
                "class_name": words.CLASSES.get(each.class_id),
                "version": each.version,
                "obis": obis.shown(each.name),
                "name": naming.name(each.class_id, each.name),
                "attributes": [
                    {"number": right.number, "mode": right.mode, "access": rights.attribute(right.mode, of)}
                    for right in each.attributes
                ],
                "methods": [
                    {"number": right.number, "mode": right.mode, "access": rights.method(right.mode, of)}
                    for right in each.methods
                ],
            }
            for each in found
        ],
    }


def _lines(found: tuple[Listed, ...]) -> Iterator[str]:
    of = rights.version(found)
    cells = [
        (
            obis.shown(each.name),
            f"{each.class_id} {words.CLASSES.get(each.class_id, '')}".rstrip(),
            str(each.version),
            naming.name(each.class_id, each.name),
            rights.summary(each, of),
        )
        for each in sorted(found, key=lambda each: (each.name, each.class_id))
    ]
    heads = ("OBIS", "class", "version", "name", "access: attributes, methods")
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    for row in (heads, *cells):
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
