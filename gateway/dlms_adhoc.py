"""Which DLMS meter a technician's command means: a configured one, or one that its options name."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from gateway.adhoc import listed, through
from gateway.config import Configuration, DlmsBus, DlmsDevice
from gateway.desk import Asked
from gateway.dlms_access import AUTHS, CIPHERINGS, access_of, ways_of
from gateway.faults import CountersUnusable, UnknownMeter
from gateway.files import write_whole
from gateway.password import keys_in, password_in
from gateway.rules_dlms import WITH_PASSWORD, WITH_TITLE
from protocols.dlms.access import CHALLENGE, Access
from protocols.dlms.ciphering import TITLE, Suite
from protocols.dlms.protection import Security
from protocols.settings.model import checked

TITLE_FILE = "system-title"
OURS = b"PLB"  # a system title begins with three letters
LINE = ("port", "url")
ON_LINE = ("baud", "parity", "mode_e")  # of a line whose speed is set here
WAYS = (
    "range_ends",
    "offset_sign",
    "association",
    "answer_ms",
    "pause_ms",
)  # of a meter that departs from the standard
DEVICE = ("client", "server", "physical", "address_bytes", "opening_address", "challenge_bytes", *WAYS)
KEYED = ("suite", "ciphering", "meter_title", "dedicated", "general_ciphering")


def configured(file: Path, found: Configuration, name: str) -> Asked:
    """A configured meter of a `file` with what was `found` in it, or that meter behind the daemon that reads it.

    Raises:
        UnknownMeter: there is none of this name, or it is not of DLMS.
        PlombaError: its secrets cannot be used.
    """
    meters = {each.name: (bus, each) for bus in found.bus if isinstance(bus, DlmsBus) for each in bus.device}
    if name not in meters:
        raise UnknownMeter(f"a DLMS meter: {listed(meters)}", name, str(file))
    bus, device = meters[name]
    behind = through(found, name)
    # Its secrets stay with the daemon: who may ask it need not be able to read them.
    access = access_of(device) if behind is None else Access(device.client, device.server, device.physical)
    return Asked(bus, device, access, found.state_folder, name, behind)


def named(given: dict[str, Any]) -> Asked:
    """A meter that the options of a command name.

    Raises:
        click.UsageError: they do not, or not well.
        PasswordUnusable, KeyUnusable: a secret cannot be read.
    """
    places = [each for each in LINE if each in given]
    if len(places) != 1:
        raise click.UsageError("name the meter: METER of --config FILE, or its line by --url URL or --port PATH")
    device = _device(given)
    bus = _bus(given, device)
    if not bus.on_line:
        _refuse(given, ON_LINE, "is of a serial line: a converter on tcp:// or tcp+hdlc:// has its own settings")
    if given.get("mode_e") and bus.url is not None:
        raise click.UsageError("--mode-e wants --port: it changes the speed of the port")
    state = given.get("state") or _state_folder()
    return Asked(bus, device, _access(given, device, state), state)


def _device(given: dict[str, Any]) -> DlmsDevice:
    fields = {key: given[key] for key in DEVICE if key in given}
    try:
        return checked(DlmsDevice, {"name": "meter", "cadence_s": 900, **fields})
    except ValidationError as error:
        raise click.UsageError(_first(error)) from error


def _bus(given: dict[str, Any], device: DlmsDevice) -> DlmsBus:
    fields = {key: given[key] for key in (*LINE, "baud", "parity") if key in given}
    if given.get("mode_e"):
        fields["opening"] = "mode-e"
    try:
        return checked(DlmsBus, {"protocol": "dlms", "name": "line", "device": (device,), **fields})
    except ValidationError as error:
        if error.errors()[0]["loc"][:1] == ("url",):
            words = "tcp://HOST:PORT, tcp+hdlc://HOST:PORT or rfc2217://HOST:PORT"
            raise click.BadParameter(f"expected {words}, got {given['url']!r}", param_hint="--url") from error
        raise click.UsageError(_first(error)) from error


def _access(given: dict[str, Any], device: DlmsDevice, state: Path) -> Access:
    auth = given.get("auth", "none")
    password = _password(given, auth)
    security = _security(given, auth)
    title = _title(given, "system_title")
    if not title and (security is not None or auth in WITH_TITLE):
        title = _own_title(state)
    return Access(
        device.client,
        device.server,
        device.physical,
        AUTHS[auth],
        password,
        title,
        _title(given, "meter_title"),
        security,
        given.get("challenge_bytes", CHALLENGE),
        device.address_bytes,
        ways=ways_of(device),
    )


def _password(given: dict[str, Any], auth: str) -> bytes:
    path = given.get("password_file")
    if auth in WITH_PASSWORD and path is None:
        raise click.UsageError(f"--auth {auth} wants --password-file FILE, with the password in it (chmod 600)")
    if auth not in WITH_PASSWORD and path is not None:
        raise click.UsageError("--password-file wants --auth lls, hls-md5, hls-sha1 or hls-sha256")
    return b"" if path is None else password_in(path)


def _security(given: dict[str, Any], auth: str) -> Security | None:
    path = given.get("key_file")
    if path is None:
        if auth == "hls-gmac":
            raise click.UsageError("--auth hls-gmac wants --key-file FILE, with both keys in it (chmod 600)")
        _refuse(given, KEYED, "wants --key-file FILE")
        return None
    keys = keys_in(path, given.get("suite") == Suite.AES_128_SIGNED)
    if given.get("suite", keys.suite) != keys.suite:
        digits = 2 * Suite(given["suite"]).key_bytes
        raise click.UsageError(f"--suite {given['suite']} has keys of {digits} hex digits: those of the file are not")
    ciphering = CIPHERINGS[given.get("ciphering", "both")]
    return Security(keys, ciphering, bool(given.get("dedicated")), bool(given.get("general_ciphering")))


def _title(given: dict[str, Any], key: str) -> bytes:
    """A system title that is given; empty where none is."""
    digits = given.get(key, "")
    try:
        title = bytes.fromhex(digits)
    except ValueError:
        title = b"?"
    if digits and len(title) != TITLE:
        words = f"expected {2 * TITLE} hex digits, got {digits!r}"
        raise click.BadParameter(words, param_hint=f"--{key.replace('_', '-')}")
    return title


def _own_title(folder: Path) -> bytes:
    """The technician's, made once: no other program has it, and its counters go on where they ended.

    Raises:
        CountersUnusable: the folder cannot be written.
    """
    path = folder / TITLE_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            write_whole(path, (OURS + secrets.token_bytes(TITLE - len(OURS))).hex().encode() + b"\n")
        title = bytes.fromhex(path.read_text())
    except (OSError, ValueError) as error:
        raise CountersUnusable("a folder that keeps the system title", str(error), str(path)) from None
    if len(title) != TITLE:
        raise CountersUnusable(f"a system title of {TITLE} bytes", f"{len(title)}", str(path))
    return title


def _refuse(given: dict[str, Any], keys: tuple[str, ...], why: str) -> None:
    for key in keys:
        if key in given:
            raise click.UsageError(f"--{key.replace('_', '-')} {why}")


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, with the option's name."""
    found = error.errors()[0]
    name = str(found["loc"][-1]) if found["loc"] else "options"
    return f"--{name.replace('_', '-')}: {found['msg']}"


def _state_folder() -> Path:
    """Where a technician's programs keep what they must not forget."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "plomba"
