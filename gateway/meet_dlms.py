"""What `init` asks about a DLMS meter: its address, and its login with passwords and keys in files of their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from gateway.config import DlmsDevice
from gateway.dlms_adhoc import OURS
from gateway.draft import Row
from gateway.meeting import Meeting
from gateway.password import key_in, password_in
from gateway.propose import CADENCE_S
from gateway.questions import Check, fits
from gateway.rules_dlms import WITH_PASSWORD, WITH_TITLE
from protocols.dlms.ciphering import TITLE, Suite
from protocols.errors import ConfigurationError
from protocols.models import dlms as models

NONE = "none"
AUTHS = (NONE, *WITH_PASSWORD[:-1], "hls-gmac", WITH_PASSWORD[-1])
KEYS = ("encryption_key_file", "authentication_key_file")
CIPHERINGS = ("authenticated", "encrypted", "both")
PHYSICAL = 17  # of many meters out of the box


def asked(meeting: Meeting, bus: Row, found: list[Row]) -> Row:
    """The table of one meter; its login is proposed as that of the one before."""
    before: Row = found[-1] if found else {}
    usual = f"{bus['name']}-{len(found) + 1}" if found else "main-meter"
    device: Row = {"name": meeting.named("meter", "Name of the meter", usual, DlmsDevice, found)}
    if "port" in bus or not bus["url"].startswith("tcp:"):
        physical = _physical(meeting, str(before.get("physical", PHYSICAL - 1) + 1))
        device |= {} if physical is None else {"physical": physical}
    device["client"] = meeting.number(DlmsDevice, "client", "Client", before.get("client", 16))
    device["server"] = meeting.number(DlmsDevice, "server", "Server (logical device)", before.get("server", 1))
    device |= _login(meeting, before)
    model = meeting.choose("model", "Model", before.get("model", NONE), (NONE, *models.names()))
    device |= {} if model == NONE else {"model": model}
    words = "Seconds from one reading to the next"
    device["cadence_s"] = meeting.number(DlmsDevice, "cadence_s", words, before.get("cadence_s", CADENCE_S))
    return device


def _physical(meeting: Meeting, usual: str) -> int | None:
    good = fits(DlmsDevice, "physical")
    words = f"Its physical address (HDLC; {NONE}: it has no such)"
    answer = meeting.ask("physical", words, usual, lambda given: "" if given == NONE else good(given))
    return None if answer == NONE else int(answer)


def _login(meeting: Meeting, before: Row) -> Row:
    """Authentication, ciphering, and the files with the secrets of both."""
    auth = meeting.choose("auth", "Authentication", before.get("auth", NONE), AUTHS)
    login: Row = {"auth": auth}
    if auth == NONE:
        return login
    if auth in WITH_PASSWORD:
        usual = before.get("password_file", "")
        words = f"File with its password (chmod 600), in {meeting.folder}"
        login["password_file"] = meeting.ask("password_file", words, usual, _usable(meeting.folder, password_in))
    keyed = auth == "hls-gmac"
    known = CIPHERINGS if keyed else (NONE, *CIPHERINGS)
    usual = before.get("ciphering", "both" if keyed else NONE)
    login["ciphering"] = meeting.choose("ciphering", "Ciphering", usual if usual in known else known[-1], known)
    if login["ciphering"] != NONE:
        login |= _keys(meeting, before)
    if login["ciphering"] != NONE or auth in WITH_TITLE:
        words = "Our system title, another one for each gateway"
        title = _title(meeting)
        login["system_title"] = meeting.ask("system_title", words, title, fits(DlmsDevice, "system_title"))
    return login


def _keys(meeting: Meeting, before: Row) -> Row:
    suite = meeting.number(DlmsDevice, "suite", "Security suite (0, 1, 2)", before.get("suite", 0))
    keys: Row = {"suite": suite}
    for key in KEYS:
        words = f"File with its {key[:-5].replace('_', ' ')} in hex (chmod 600), in {meeting.folder}"
        check = _usable(meeting.folder, lambda path: key_in(path, Suite(suite)))
        keys[key] = meeting.ask(key, words, before.get(key, ""), check)
    return keys


def _usable(folder: Path, read: Callable[[Path], bytes]) -> Check:
    """A file that holds what the meter needs; of what it holds nothing is shown."""

    def check(answer: str) -> str:
        if not answer:
            return "a file"
        try:
            read(folder / answer)
        except ConfigurationError as error:
            return f"{error.expected} in {error.where} (it is: {error.got}; {error.do})"
        return ""

    return check


def _title(meeting: Meeting) -> str:
    """The gateway's own, where a meter of the draft has one already; else one that nobody has."""
    titles = (each.get("system_title") for bus in meeting.draft.buses for each in bus["device"])
    made = OURS + secrets.token_bytes(TITLE - len(OURS))
    return next(filter(None, titles), made.hex().upper())
