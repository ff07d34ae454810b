"""What the command `init` does: a new site from its ports to its commissioning record, question by question.

It can be left at any moment and given again: a draft beside the configuration keeps the answers and the lines that are
done, the scan its state. The configuration appears whole at the end, and never over another one unasked.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from gateway import draft as drafts
from gateway import enrol, meet, record
from gateway.config import GATEWAY, Configuration
from gateway.config_file import read_configuration
from gateway.draft import Draft, Row
from gateway.faults import AnswerUnusable, LineOwned
from gateway.files import write_whole
from gateway.lines import PORTS
from gateway.meet import PROTOCOLS, WORDS, Left
from gateway.meeting import Meeting
from gateway.owners import daemon_of
from gateway.propose import stable
from gateway.questions import Questions, one_of
from protocols.errors import PlombaError
from protocols.settings.problems import ReportedError
from protocols.transports.keyfiles import claim
from protocols.uplink import commissioned
from protocols.uplink.keys import SigningKey, fingerprint

OK, FAILED, PARTIAL = 0, 1, 3
END = "end"
SHORTEST = 3  # letters of a gateway's name
KNOWN = KEEP, REPLACE, STOP = "keep", "replace", "stop"
STATE, KEYS = "state", "keys"  # folders beside the configuration


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
    unknown = [each for each in given if each not in WORDS[protocol] and not each.startswith(meet.KEEP)]
    if unknown and protocol != "mbus":  # there they are names that are proposed for meters
        known = ", ".join(sorted(WORDS[protocol] - {"protocol", "at"}))
        raise AnswerUnusable(f"words of {protocol}: {known}", repr(unknown[0]), "--bus")
    return given


def _existing(site: Site) -> str:
    """What is to be done with the configuration that is there.

    Raises:
        LineOwned: it is to be replaced, and the daemon reads its lines.
    """
    _say(f"{site.path} is there already")
    running = ""
    try:
        running = daemon_of(read_configuration(site.path).state_folder)
    except PlombaError as error:
        _say(f"it cannot be used as it is: {_told(error)}")
    if running:
        _say(f"the daemon, process {running}, runs with it, holds its lines, and reads for us what is kept")
        _say("to replace it stop the daemon first (systemctl stop plomba-gateway): a line has one owner")
    asked = f"Keep it and write a record of its meters, replace it by a new one, or stop? ({', '.join(KNOWN)})"
    choice = site.questions.ask("existing", asked, KEEP, one_of(KNOWN))
    if choice == REPLACE:
        _unowned(site.path, running)
    return choice


def _unowned(path: Path, running: str) -> None:
    """A line has one owner, and a test read of a new meter is none that the daemon could make.

    Raises:
        LineOwned: the daemon runs.
    """
    if running:
        raise LineOwned("a gateway whose daemon does not run", f"one whose daemon is process {running}", str(path))


def _walk(site: Site) -> int:
    """The lines one after the other, then the configuration; how many given lines and meters are not in it."""
    draft = drafts.maybe_read(site.path)
    if draft is not None:
        done = ", ".join(bus["name"] for bus in draft.buses) or "no line yet"
        _say(f"going on with what was left: gateway {draft.head['gateway']}, {done}")
    else:
        draft = Draft(_head(site))
        drafts.keep(site.path, draft)
    _unowned(site.path, daemon_of(site.path.absolute().parent / draft.head["state_folder"]))
    for text in meet.plugged():
        _say(f"  {text}")
    left_out = sum(_line(site, draft, given) for given in _left(site, draft))
    while not site.lines and (protocol := _next(site, draft)) != END:
        _line(site, draft, {"protocol": [protocol]})
    if not draft.buses:
        raise AnswerUnusable("at least one line with a meter", "none", "--bus")
    missing = len(_left(site, draft))
    _write(site, draft)
    return missing + left_out


def _left(site: Site, draft: Draft) -> list[dict[str, list[str]]]:
    """The given lines that are not in the draft yet."""
    done = {(bus["protocol"], bus.get("url") or bus["port"]) for bus in draft.buses}
    return [each for each in site.lines if (each["protocol"][0], _place(each["at"][0])) not in done]


def _place(at: str) -> str:
    return at if "://" in at else stable(at)


def _head(site: Site) -> Row:
    """Name, folders and broker; of a configuration that is replaced they are the defaults, and its folders stay."""
    head: Row = {"gateway": proposed(socket.gethostname()), "state_folder": STATE, "keys_folder": KEYS}
    at: Row = {"host": "localhost", "port": 8883}
    with contextlib.suppress(PlombaError, FileNotFoundError):
        head, at = _before(site.path)
    name = site.questions.ask("gateway", "Name of this gateway: 3 to 32 of a-z, 0-9, -", head["gateway"], _gateway)
    usual = f"{at['host']}:{at['port']}"
    broker = site.questions.ask("broker", "Broker, HOST:PORT", usual, _broker)
    place, _, port = broker.rpartition(":")
    changed = {} if broker == usual else {"host": place, "port": int(port)}
    return head | {"gateway": name, "broker": at | changed}


def proposed(host: str) -> str:
    """A name for the gateway on a machine of this name."""
    name = "".join(each if each.isascii() and each.isalnum() else "-" for each in host.lower())[:32].strip("-")
    return name if len(name) >= SHORTEST else f"gateway-{name}".strip("-")


def _before(path: Path) -> tuple[Row, Row]:
    """What a configuration says of the gateway, and of its broker.

    Raises:
        PlombaError: there is none, or it has faults.
    """
    found = read_configuration(path)
    folders = {"state_folder": found.state_folder, "keys_folder": found.keys_folder}
    within = path.absolute().parent
    texts = {
        key: str(each.relative_to(within) if each.is_relative_to(within) else each) for key, each in folders.items()
    }
    return {"gateway": found.gateway} | texts, {
        key: each for key, each in asdict(found.broker).items() if each is not None
    }


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


def _line(site: Site, draft: Draft, given: dict[str, list[str]]) -> int:
    """One line; where it cannot be read it is asked for again, or the next one. How many of its meters are left out."""
    protocol = given["protocol"][0]
    before = draft.answers if draft.answers.get("protocol") == protocol else {}
    draft.answers = {**before, "protocol": protocol}
    answers = {name: list(each) for name, each in given.items() if name != "protocol"}
    asked = replace(site.questions, given=answers, before=dict(before), taken={})
    meeting = Meeting(site.path, draft, asked)
    try:
        bus = meet.line(meeting, protocol)
    except (PlombaError, ValueError) as error:
        if site.questions.silent:
            raise
        _say(f"this line is not taken: {_told(error)}")
        bus = None
    if bus is None:
        _say("nothing of this line goes into the configuration")
    else:
        draft.buses.append(bus)
    unasked = [each for each in asked.unasked() if not each.startswith(meet.KEEP)]
    for name in unasked if bus is not None else []:
        _say(f"{name}, a word of --bus, was not asked for: nothing of this name was found on the line")
    # What was typed for a line that failed is what it is asked with again.
    draft.answers = {} if bus is not None or site.questions.silent else draft.answers
    drafts.keep(site.path, draft)
    return 0 if bus is None else len(meeting.left_out) + len(unasked)


def _write(site: Site, draft: Draft) -> None:
    draft.checked(site.path)
    meters = sum(len(bus["device"]) for bus in draft.buses)
    asked = f"Write {site.path} with {len(draft.buses)} lines and {meters} meters?"
    if not site.questions.agreed("write", asked, default=True):
        raise click.Abort
    if site.path.exists():
        old = drafts.beside(site.path, "before")
        write_whole(old, site.path.read_bytes())
        _say(f"the configuration that was there is {old} now; what it had beside name, folders, broker and lines")
        _say(
            "([buffer], [seal], [newcomers], [push], timezone) is not in the new one: copy it by hand where you want it"
        )
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


def _told(error: Exception) -> str:
    return error.report() if isinstance(error, ReportedError) else str(error)


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
