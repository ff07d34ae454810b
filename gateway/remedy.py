"""Which setting to change to what, where a way into a DLMS meter fails: from the step, the error and what came.

Settings are named as the technician gave them: a key of the file, or an option of the command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.desk import Asked
from gateway.dlms_entrance import PUBLIC
from gateway.owners import holder, port_step
from gateway.probe import Step, Trial, framing
from protocols.dlms import breaches, faults
from protocols.dlms.access import CHALLENGE, Access, Auth, Framing
from protocols.dlms.association import (
    DIAGNOSTICS,
    MECHANISM_REQUIRED,
    NO_SUCH_CLIENT,
    PASSWORD_REQUIRED,
    WRONG_CONTEXT,
    WRONG_MECHANISM,
)
from protocols.dlms.ciphering import BOTH, NEITHER, SUITE, Control
from protocols.dlms.opening import NoIdentification
from protocols.errors import AnotherMeter, PlombaError
from protocols.transports.serial import PortBusy

CIPHERED = {0: "none", int(Control.AUTHENTICATED): "authenticated", int(Control.ENCRYPTED): "encrypted"}
CIPHERED[int(BOTH)] = "both"
LOCKS = "do not try again and again: some meters lock after a few failures"
HELD = "another program may hold the meter (many take one association at a time: end it, or wait two minutes)"
DAMAGED = (faults.BadChecksum, faults.BadLength, faults.Malformed, faults.CutShort)
KEY_ERRORS = (breaches.NotAuthentic, breaches.MeterNotProven, breaches.ProofRefused)


@dataclass(frozen=True, slots=True)
class Remedy:
    """Words for one meter; `public` is what its public client found, None where that was not tried."""

    asked: Asked
    public: Trial | None = None

    def of(self, trial: Trial) -> str:
        """What to do about the step that failed."""
        steps: dict[Step, Callable[[Trial, PlombaError], str]] = {
            Step.CONNECT: self._connect,
            Step.OPEN: self._open,
            Step.LINK: self._link,
            Step.ASSOCIATE: self._associate,
            Step.LOGIN: self._login,
        }
        return "" if trial.error is None else steps.get(trial.step, self._inside)(trial, trial.error)

    def key(self, *names: str) -> str:
        """Settings as the technician knows them."""
        if self.asked.name:
            return _listed(names)
        options = {"opening": "--mode-e", "encryption_key_file": "--key-file", "authentication_key_file": "--key-file"}
        given = dict.fromkeys(options.get(each, f"--{each.replace('_', '-')}") for each in names)
        return _listed(tuple(given))

    def set(self, key: str, value: object) -> str:
        """A setting with its value."""
        if self.asked.name:
            return f'write {key} = "{value}"' if isinstance(value, str) else f"write {key} = {value}"
        return f"give {self.key(key)}" if key == "opening" else f"give {self.key(key)} {value}"

    def _connect(self, _: Trial, error: PlombaError) -> str:
        if isinstance(error, PortBusy):
            return port_step("", holder(self.asked.bus.port or ""))
        return f"{error.do} ({self.key('url' if self.asked.bus.url else 'port')})"

    def _open(self, _: Trial, error: PlombaError) -> str:
        if isinstance(error, NoIdentification):
            way = 'remove opening = "mode-e"' if self.asked.name else "leave --mode-e out"
            return f"{error.do}; on an RS-485 line {way}"
        return error.do

    def _link(self, trial: Trial, error: PlombaError) -> str:
        heard, bus, client = trial.heard, self.asked.bus, self.key("client")
        stranger = heard.stranger()
        if heard.other_framing:
            said = f"the meter speaks the other framing: {self.other_url()}"
        elif stranger:
            where = self.key("port" if bus.url is None else "url")
            said = f"{stranger} answers, and no DLMS meter: correct {where}{_elsewhere(stranger)}"
        elif self.known:
            said = (
                f"client {PUBLIC} is answered at this address and client {trial.access.client} is not: {self._client()}"
            )
        elif isinstance(error, faults.LinkEnded):
            said = f"the meter hears this address and refuses the link: {HELD}, or correct {client}"
        elif isinstance(error, faults.StreamEnded) and not heard.received:
            said = f"the connection is closed at once: {HELD}; or this is no DLMS meter: check {self.key('url')}"
        elif isinstance(error, DAMAGED):
            keys = self.key("baud", "parity") if bus.on_line else "speed and parity in the converter"
            said = f"what comes is damaged: check {keys}, wires and termination, and that nobody else talks here"
        else:
            said = self._silent()
        return said

    def _silent(self) -> str:
        bus, wrapper = self.asked.bus, framing(self.asked) is Framing.WRAPPER
        keys = self.key("server", "client") if wrapper else self.key("server", "physical", "address_bytes")
        if bus.on_line:
            return f"check that the meter is powered, the wires (A and B), {self.key('baud', 'parity')}, and {keys}"
        return f"check that the meter is powered, and {keys}; or {self.other_url()}"

    def _associate(self, trial: Trial, error: PlombaError) -> str:
        if isinstance(error, (*KEY_ERRORS, breaches.CounterRefused)):
            said = self._keys(error)
        elif isinstance(error, breaches.WeakProtection):
            said = self._protection(error)
        elif isinstance(error, breaches.TitleRefused):
            said = self._title(error)
        elif isinstance(error, breaches.PlainAnswer):
            said = f"{self._plain(trial)}, or correct {self.key('client')}"
        elif isinstance(error, faults.NotSupported) and "ciphered" in error.got:
            said = f"the meter ciphers for client {trial.access.client}: set {self.key('ciphering')}, with both keys"
        elif isinstance(error, faults.AssociationRefused):
            said = self._refused(trial, error)
        elif isinstance(error, faults.NoAnswer | faults.StreamEnded):
            said = self._no_aare(trial)
        else:
            said = error.do
        return said

    def _refused(self, trial: Trial, error: PlombaError) -> str:
        """The meter's own diagnostic, as a setting."""
        client = trial.access.client
        if DIAGNOSTICS[NO_SUCH_CLIENT] in error.got:
            said = self._client()
        elif DIAGNOSTICS[WRONG_CONTEXT] in error.got and not _ciphers(trial.access):
            keys = self.key("ciphering", "encryption_key_file", "authentication_key_file")
            said = f"client {client} is ciphered: set {keys} (ciphering is mostly both)"
        elif DIAGNOSTICS[WRONG_CONTEXT] in error.got:
            said = self._plain(trial)
        elif DIAGNOSTICS[WRONG_MECHANISM] in error.got or DIAGNOSTICS[MECHANISM_REQUIRED] in error.got:
            said = f"client {client} logs in otherwise than by {_name(trial.access.auth)}: change {self.key('auth')}"
        else:
            said = f"{self._client()}; or {self.key('auth')} and its secret are not this client's"
        return said

    def _login(self, trial: Trial, error: PlombaError) -> str:
        auth, client, key = trial.access.auth, trial.access.client, self.key("auth")
        wanted = DIAGNOSTICS[PASSWORD_REQUIRED] in error.got
        if auth is Auth.NONE:
            said = f"client {client} wants a login: set {key} to lls or hls-..., with its secret"
        elif wanted and auth is Auth.LLS:
            said = f"client {client} wants more than a password: set {key} to hls-..."
        elif isinstance(error, breaches.ChallengeRefused):
            said = error.do
        elif isinstance(error, faults.NoAnswer | faults.StreamEnded) and trial.access.challenge_bytes != CHALLENGE:
            said = f"the meter falls silent at our proof: set {self.key('challenge_bytes')} to {CHALLENGE}"
        elif isinstance(error, breaches.ProofRefused) and "object" in error.got:
            said = f"the meter has its association under another name: set {self.key('association')}, as 0-0:40.0.1.255"
        elif auth is Auth.HLS_GMAC or isinstance(error, breaches.CounterRefused):
            said = self._keys(error)
        else:
            file = self.asked.device.password_credential or self.key("password_file")
            said = f"the secret in {file} is not that of client {client}, or {key} is another; {LOCKS}"
        return said

    def _inside(self, trial: Trial, error: PlombaError) -> str:
        if isinstance(error, AnotherMeter):
            said = f'this is another meter: write serial = "{error.got}", or correct where it is'
        elif isinstance(error, (*KEY_ERRORS, breaches.CounterRefused)):
            said = self._keys(error)
        elif isinstance(error, breaches.PlainAnswer | breaches.WeakProtection):
            said = self._protection(error)
        elif isinstance(error, faults.AccessRefused):
            said = f"client {trial.access.client} may not read it: take one that may ('objects' lists what there is)"
        else:
            said = error.do
        return said

    @property
    def known(self) -> bool:
        """Whether the public client was answered here."""
        return self.public is not None and self.public.heard.linked

    def other_url(self) -> str:
        """The address in the other framing."""
        url = self.asked.bus.url or ""
        other = url.replace("tcp+hdlc:", "tcp:") if url.startswith("tcp+hdlc:") else url.replace("tcp:", "tcp+hdlc:")
        return f'write url = "{other}"' if self.asked.name else f"give --url {other}"

    def _client(self) -> str:
        return f"correct {self.key('client')}: the data sheet of the meter has the number for this login"

    def _plain(self, trial: Trial) -> str:
        off = 'write ciphering = "none"' if self.asked.name else "leave --key-file out"
        return f"client {trial.access.client} is not ciphered in this meter: {off}"

    def _no_aare(self, trial: Trial) -> str:
        if _ciphers(trial.access):
            return f"meters are silent where they cannot decipher: {self._which()}, or correct {self.key('client')}"
        if trial.access.client != PUBLIC:
            return f"the meter hears this address and not this client: {self._client()}"
        return f"{HELD}, or correct {self.key('server')}"

    def _which(self) -> str:
        keys = self.key("encryption_key_file", "authentication_key_file")
        return f"check {keys}, {self.key('suite', 'ciphering')} against the meter's"

    def _keys(self, error: PlombaError) -> str:
        title = self.key("system_title")
        if isinstance(error, breaches.CounterRefused):
            heard = None if self.public is None else self.public.counter
            known = "its public client does not tell which" if heard is None else f"it heard {heard} last"
            return f"the meter heard our counter before ({known}): let no other program have this {title}"
        return f"{self._which()}; where the meter knows clients by their title {title}, too; {LOCKS}"

    def _protection(self, error: PlombaError) -> str:
        """What the meter uses, from its security control."""
        try:
            control = int(error.got, 16)
        except ValueError:
            return f"set {self.key('ciphering')} as the meter's security policy says"
        named, keys = CIPHERED[control & int(BOTH)], self.key("suite", "ciphering")
        return f"the meter uses suite {control & SUITE} and ciphering {named}: set {keys} so"

    def _title(self, error: PlombaError) -> str:
        if error.got == "none":
            return f"the meter does not send its title: set {self.key('meter_title')} (its maker's letters and number)"
        if error.got.startswith("ours"):
            return f"the meter has our title: set {self.key('system_title')} to another one"
        return f"set {self.key('meter_title')} to {error.got} if this is the meter you mean, or leave it out"


def _listed(names: tuple[str, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _ciphers(access: Access) -> bool:
    return access.security is not None and access.security.ciphering != NEITHER


def _name(auth: Auth) -> str:
    return auth.name.lower().replace("_", "-")


def _elsewhere(stranger: str) -> str:
    """What reads the thing that is there."""
    if "M-Bus" in stranger:
        return " (M-Bus meters are read with 'plomba-gateway read' and found with 'scan')"
    return ""
