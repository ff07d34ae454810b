"""What the command `init` does: a new site from its ports to its commissioning record, question by question.

It can be left at any moment and given again: a draft beside the configuration keeps the answers and the lines that are
done, the scan its state. The configuration appears whole at the end, and never over another one unasked.
"""

from __future__ import annotations

import datetime
import re
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from gateway import draft as drafts
from gateway import enrol, meet, record
from gateway.config import GATEWAY, Configuration
from gateway.config_file import read_configuration
from gateway.draft import Draft, Row
from gateway.faults import AnswerUnusable
from gateway.files import write_whole
from gateway.lines import PORTS
from gateway.meet import PROTOCOLS, Left, Meeting
from gateway.owners import daemon_of
from gateway.propose import stable
from gateway.questions import Questions, one_of
from protocols.errors import PlombaError
from protocols.transports.keyfiles import claim
from protocols.uplink import commissioned
from protocols.uplink.keys import SigningKey, fingerprint

OK, FAILED, PARTIAL = 0, 1, 3
END = "end"
KEEP, REPLACE, STOP = "keep", "replace", "stop"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the configuration and the records go, and what was given with the command."""

    path: Path
    records: Path
    questions: Questions
    lines: tuple[dict[str, list[str]], ...] = ()


def init(site: Site) -> int:
    """Walk through the site; the exit code: 0 all meters are in the record with values, 3 some are not, or it was left.

    Raises:
        AnswerUnusable: an answer cannot be used, and nobody may be asked for another.
        PlombaError, OSError: files cannot be used.
    """
    try:
        if site.path.exists() and (choice := _existing(site)) != REPLACE:
            return PARTIAL if choice == STOP else _record(site)
        missing = _walk(site)
        return _record(site) or (PARTIAL if missing else OK)
    except (click.Abort, KeyboardInterrupt, Left):
        _say("left before the end; the same command goes on where it was")
        return PARTIAL


def words(text: str) -> dict[str, list[str]]:
    """What --bus says: PROTOCOL, PORT or URL, then NAME=ANSWER; a name may stand there several times.

    Raises:
        AnswerUnusable: it does not say it so.
    """
    protocol, at, *answers = [*text.split(), "", ""]
    given = {"protocol": [protocol], "at": [at]}
    for each in filter(None, answers):
        name, equals, answer = each.partition("=")
        if not equals:
            raise AnswerUnusable("NAME=ANSWER", repr(each), "--bus")
        given.setdefault(name, []).append(answer)
    if protocol not in PROTOCOLS or not at or "=" in at:
        raise AnswerUnusable(f"{', '.join(PROTOCOLS)}, then a port or URL", repr(text), "--bus")
    return given


def _existing(site: Site) -> str:
    """What is to be done with the configuration that is there."""
    try:
        found = read_configuration(site.path)
        running = daemon_of(found.state_folder)
    except PlombaError:
        running = ""
    _say(f"{site.path} is there already")
    if running:
        _say(f"the daemon, process {running}, runs with it, holds its lines, and reads for us what is kept")
    known = (KEEP, REPLACE, STOP)
    asked = f"Keep it and write a record of its meters, replace it by a new one, or stop? ({', '.join(known)})"
    return site.questions.ask("existing", asked, KEEP, one_of(known))


def _walk(site: Site) -> int:
    """The lines one after the other, then the configuration; how many of the given lines are not in it."""
    draft = drafts.maybe_read(site.path)
    if draft is not None:
        done = ", ".join(bus["name"] for bus in draft.buses) or "no line yet"
        _say(f"going on with what was left: gateway {draft.head['gateway']}, {done}")
    else:
        draft = Draft(_head(site.questions))
        drafts.keep(site.path, draft)
    for text in meet.plugged():
        _say(f"  {text}")
    for given in _left(site, draft):
        _line(site, draft, given)
    while not site.lines and (protocol := _next(site, draft)) != END:
        _line(site, draft, {"protocol": [protocol]})
    if not draft.buses:
        raise AnswerUnusable("at least one line with a meter", "none", "--bus")
    missing = len(_left(site, draft))
    _write(site, draft)
    return missing


def _left(site: Site, draft: Draft) -> list[dict[str, list[str]]]:
    """The given lines that are not in the draft yet."""
    done = {(bus["protocol"], bus.get("url") or bus["port"]) for bus in draft.buses}
    return [each for each in site.lines if (each["protocol"][0], _place(each["at"][0])) not in done]


def _place(at: str) -> str:
    return at if "://" in at else stable(at)


def _head(questions: Questions) -> Row:
    host = "".join(each if each.isascii() and each.isalnum() else "-" for each in socket.gethostname().lower())[:32]
    name = questions.ask("gateway", "Name of this gateway: 3 to 32 of a-z, 0-9, -", host.strip("-"), _gateway)
    broker = questions.ask("broker", "Broker, HOST:PORT", "localhost:8883", _broker)
    place, _, port = broker.rpartition(":")
    at = {"host": place, "port": int(port)}
    return {"gateway": name, "state_folder": "state", "keys_folder": "keys", "broker": at}


def _gateway(answer: str) -> str:
    return "" if re.fullmatch(GATEWAY, answer) else "3 to 32 of a-z, 0-9, -"


def _broker(answer: str) -> str:
    host, _, port = answer.rpartition(":")
    good = host and port.isascii() and port.isdecimal() and 0 < int(port) <= PORTS
    return "" if good else f"HOST:PORT with a port from 1 to {PORTS}"


def _next(site: Site, draft: Draft) -> str:
    """The protocol of the next line; `end` where there is none."""
    left = draft.answers.get("protocol")
    usual = left or (END if draft.buses else PROTOCOLS[0])
    known = (*PROTOCOLS, END)
    return site.questions.ask("next", f"Next line ({', '.join(known)})", usual, one_of(known))


def _line(site: Site, draft: Draft, given: dict[str, list[str]]) -> None:
    """One line; where it cannot be read it is asked for again, or the next one."""
    protocol = given["protocol"][0]
    before = draft.answers if draft.answers.get("protocol") == protocol else {}
    draft.answers = {"protocol": protocol}
    answers = {name: list(each) for name, each in given.items() if name != "protocol"}
    asked = replace(site.questions, given=answers, before=before, taken={})
    try:
        bus = meet.line(Meeting(site.path, draft, asked), protocol)
    except (PlombaError, ValueError) as error:
        if site.questions.silent:
            raise
        _say(f"this line is not taken: {error}")
        bus = None
    if bus is None:
        _say("nothing of this line goes into the configuration")
    else:
        draft.buses.append(bus)
    draft.answers = {}
    drafts.keep(site.path, draft)


def _write(site: Site, draft: Draft) -> None:
    draft.checked(site.path)
    meters = sum(len(bus["device"]) for bus in draft.buses)
    asked = f"Write {site.path} with {len(draft.buses)} lines and {meters} meters?"
    if not site.questions.agreed("write", asked, default=True):
        raise click.Abort
    if site.path.exists():
        old = drafts.beside(site.path, "before")
        write_whole(old, site.path.read_bytes())
        _say(f"the configuration that was there is {old} now")
    write_whole(site.path, draft.text.encode())
    drafts.remove(site.path)
    _say(f"{site.path} is written")


def _record(site: Site) -> int:
    found = read_configuration(site.path)
    key = _keys(found)
    _say("reading every meter for the record")
    made = record.record(site.path, found, key.public, time.time_ns() // 1_000_000, _say)
    made = replace(made, made_ms=time.time_ns() // 1_000_000)  # when the last one was read
    from gateway.printed import printed  # noqa: PLC0415 - the library of PDF, once it is wanted

    at = datetime.datetime.fromtimestamp(made.made_ms // 1000, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    site.records.mkdir(parents=True, exist_ok=True)
    text = "\n".join(record.lines(made)) + "\n"
    forms = (("txt", text.encode()), ("pdf", printed(made)), ("plomba", commissioned.sign(made, key)))
    for ending, octets in forms:
        path = site.records / f"commissioning-{found.gateway}-{at}.{ending}"
        write_whole(path, octets)
        click.echo(str(path))
    request = site.records / f"request-{found.gateway}.plomba"
    write_whole(request, enrol.make_request(found))
    click.echo(str(request))
    failed = sum(each.at_ms is None for each in made.meters)
    _say(f"{len(made.meters) - failed} of {len(made.meters)} meters are in the record with their values")
    _say(f"next: the collector signs {request} (key {fingerprint(key.public.octets)})")
    _say(f"then: plomba-gateway accept --config {site.path} ENROLMENT, and plomba-gateway run --config {site.path}")
    return PARTIAL if failed else OK


def _keys(found: Configuration) -> SigningKey:
    claim(found.keys_folder, f"gateway {found.gateway}")
    enrol.make_keys(found.keys_folder)
    return enrol.read_keys(found.keys_folder).sealing


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
