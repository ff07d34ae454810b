"""What the commands that change master data have in common: who, why, when, and what a register stood at."""

from __future__ import annotations

import os
import pwd
import time

import click

from collector.faults import NotEnteredError
from collector.master.cells import number
from collector.master.clocks import instant
from collector.master.meters import Stood
from collector.store.interface import Store


def os_user() -> str:
    """The account that runs this, by the system's word, not by the environment's."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


who_option = click.option("--who", default=os_user, show_default="the account that runs this", help="Who enters it.")
why_option = click.option("--why", default="", help="Why; it is kept with what is entered.")
final_option = click.option(
    "--final", "final", multiple=True, metavar="REGISTER=VALUE", help="What the meter that went stood at; repeated."
)
WHEN = "a day or time of the point's zone as 2026-03-01T09:30, or an instant"


def now_ms() -> int:
    """Our clock."""
    return time.time_ns() // 1_000_000


def instant_at(store: Store, point: str, text: str) -> int:
    """The instant (ms UTC) that a written time is at a point.

    Raises:
        NotEnteredError: there is no such point.
        LocalTimeError: it is no time there, or two.
    """
    known = store.master.points.all(point=point)
    if not known:
        raise NotEnteredError("a metering point that was entered", repr(point[:64]), "the store")
    zones = {each.zone for each in known}
    if len(zones) == 1:
        return instant(text, zones.pop())
    holds = store.master.points.at(now_ms(), point=point)
    return instant(text, (holds or known)[-1].zone)


def stood_of(given: tuple[str, ...]) -> tuple[Stood, ...]:
    """What was given as REGISTER=VALUE.

    Raises:
        click.UsageError: it was given otherwise.
        MasterDataError: a value is no number.
    """
    stood = []
    for each in given:
        register, sign, value = each.rpartition("=")
        if not sign:
            raise click.UsageError(f"expected REGISTER=VALUE, got {each!r}")
        stood.append(Stood(register.strip(), number(value.strip())))
    return tuple(stood)
