"""What the command `probe` does: each step into a meter as a line, for its public client and for the configured one.

Exit codes: 0 the configured client reads the meter; 1 it does not; 3 it does, and something is worth a look. What the
public client may not is shown and does not count.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import asdict

import click

from gateway.desk import Asked
from gateway.dlms_access import waits_of
from gateway.dlms_clock import is_turned
from gateway.dlms_entrance import PUBLIC
from gateway.findings import FAILED, Finding, Mark, exit_code
from gateway.lines import MACHINE, Lines
from gateway.online import against
from gateway.probe import Step, Trial, framing, trials
from gateway.remedy import Remedy
from gateway.seek import Sought, seek
from protocols import obis
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.ways import STANDARD

ASIDE = f"public client {PUBLIC}"
NAMES = {
    Step.OPEN: "mode E",
    Step.ASSOCIATE: "AARQ/AARE",
    Step.LOGIN: "authentication",
    Step.NAME: "logical device name (first GET)",
    Step.NUMBER: "device number",
    Step.CLOCK: "clock",
}


def probe(asked: Asked, as_json: bool, lines: Lines = MACHINE) -> int:
    """Try the meter, print each step, and give the exit code."""
    found = asyncio.run(_probed(asked, as_json, lines))
    code = exit_code(each.mark for each in found if not each.what.startswith(ASIDE))
    if as_json:
        click.echo(json.dumps({"ok": code != FAILED, "findings": [asdict(each) for each in found]}, indent=1))
    else:
        verdict = "this client cannot read the meter: do what the last lines say, and probe again"
        click.echo(f"\n{verdict if code == FAILED else 'the meter can be read'}")
    return code


async def _probed(asked: Asked, as_json: bool, lines: Lines) -> list[Finding]:
    found: list[Finding] = []
    remedy = Remedy(asked)
    async with aclosing(trials(asked, lines)) as tried:
        async for trial in tried:
            _note(found, list(_findings(trial, remedy)), as_json)
            remedy = remedy if trial.is_last else Remedy(asked, trial)
    if trial.step is Step.LINK and not trial.heard.received and not remedy.known:
        click.echo("nobody answers: trying other settings, each with one frame ...", err=True)
        _note(found, [_sought(await seek(asked, lines), remedy)], as_json)
    return found


def _note(found: list[Finding], more: list[Finding], as_json: bool) -> None:
    found += more
    if not as_json:
        click.echo("\n".join(map(str, more)))


def _findings(trial: Trial, remedy: Remedy) -> Iterator[Finding]:
    """A line for each step that passed, and one for the step that failed."""
    last = trial.is_last
    client = f"client {trial.access.client}" if last else ASIDE
    for step in Step:
        said = _passed(step, trial, remedy.asked)
        if step is trial.step:
            break
        if said:
            yield Finding(Mark.OK, f"{client}: {_named(step, remedy.asked)}", said)
    if trial.error is not None:
        error, what = trial.error, f"{client}: {_named(trial.step, remedy.asked)}"
        came = f" (heard: {trial.heard.shown()})" if trial.step in {Step.LINK, Step.ASSOCIATE, Step.LOGIN} else ""
        text = f"expected {error.expected}, got {error.got}{came}"
        mark, do = (Mark.FAIL, remedy.of(trial)) if last else (Mark.HINT, "that may be so: not every meter has it")
        yield Finding(mark, what, text, error.code, do)
    elif trial.time is None:
        do = "set the meter's clock: rows of its profile have no time that can be trusted"
        yield Finding(Mark.HINT, f"{client}: clock", "the meter shows no valid time", do=do)
    if trial.counter is not None:
        what = f"invocation counter of client {remedy.asked.access.client}"
        yield Finding(Mark.OK, f"{client}: {what}", f"heard last: {trial.counter}")
    if last and trial.error is None:
        yield from _identity(trial, remedy)
        yield from _ways(trial, remedy)


def _identity(trial: Trial, remedy: Remedy) -> Iterator[Finding]:
    """What may be written into the file."""
    if remedy.asked.name and remedy.asked.device.serial is None and trial.serial:
        do = f'write below the name of {remedy.asked.name}:  serial = "{trial.serial}"'
        yield Finding(Mark.HINT, "identity", "it is not in the file: another meter would be taken for this one", "", do)
    elif remedy.asked.name and trial.serial is None and remedy.asked.device.logical_name is None and trial.name:
        do = f'write below the name of {remedy.asked.name}:  logical_name = "{trial.name}"'
        yield Finding(
            Mark.HINT, "identity", "the meter tells no device id: its name would tell it from another", "", do
        )


def _ways(trial: Trial, remedy: Remedy) -> Iterator[Finding]:
    """What this meter is known to do otherwise than the standard says, and what it seems to do."""
    waits, ways = waits_of(remedy.asked.device), trial.access.ways
    said = {
        "range_ends": (ways.range_ends, STANDARD.range_ends, ways.range_ends.value),
        "offset_sign": (ways.offset_sign, STANDARD.offset_sign, ways.offset_sign.value),
        "association": (ways.association, STANDARD.association, obis.shown(ways.association)),
        "answer_ms": (waits.answer_ms, None, waits.answer_ms),
        "pause_ms": (waits.pause_ms, 0, waits.pause_ms),
    }
    used = [f"{key} = {shown}" for key, (found, usual, shown) in said.items() if found != usual]
    if used:
        yield Finding(Mark.OK, "ways of this meter", ", ".join(used))
    shown, offset = trial.time, trial.time.deviation_min if trial.time is not None else None
    if shown is None or not offset:
        return
    if is_turned(shown, trial.at_ms):
        text = f"the clock is right if its offset of {offset} min has the other sign"
        yield Finding(Mark.HINT, "sign of the offset", text, do=remedy.set("offset_sign", ways.other_sign.value))


def _named(step: Step, asked: Asked) -> str:
    """What a step is called on this bus."""
    if step is Step.CONNECT:
        return "connection" if asked.bus.url else "port"
    if step is Step.LINK:
        return "TCP wrapper" if framing(asked) is Framing.WRAPPER else "HDLC (SNRM/UA)"
    return NAMES[step]


def _passed(step: Step, trial: Trial, asked: Asked) -> str:
    """What a step that passed says; empty where this bus has none of it."""
    access = trial.access
    match step:
        case Step.CONNECT:
            return f"{asked.place.at} is open"
        case Step.OPEN:
            return "the meter went over to HDLC" if asked.bus.opening == "mode-e" else ""
        case Step.LINK:
            return f"server {access.server} answers" + (f" at {access.physical}" if access.physical is not None else "")
        case Step.ASSOCIATE:
            return "the meter answers" if trial.step is Step.LOGIN else "accepted"
        case Step.LOGIN:
            return _login(access)
    return _shown(step, trial)


def _shown(step: Step, trial: Trial) -> str:
    if step is Step.CLOCK:
        return "" if trial.time is None else against(trial.time, trial.at_ms)
    return {Step.NAME: trial.name, Step.NUMBER: trial.serial}.get(step) or "not told"


def _login(access: Access) -> str:
    ciphered = f", ciphered with suite {access.security.keys.suite}" if access.security is not None else ""
    words = {Auth.NONE: "none is wanted", Auth.LLS: "the password is taken"}
    return words.get(access.auth, "both sides have proven who they are") + ciphered


def _sought(found: Sought | None, remedy: Remedy) -> Finding:
    if found is None:
        text = "nobody answers in any other framing, address or speed that was tried"
        return Finding(Mark.HINT, "other settings", text)
    return Finding(Mark.FAIL, "other settings", found.words, do=found.settings(remedy))
