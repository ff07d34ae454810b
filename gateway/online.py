"""`check --online`: reads each device once and reaches the broker step by step; goes on after a failure.

Nothing is kept: no reading is sealed, no slot settled. A meter's clock is compared as shown; no zone is guessed.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator

from cryptography import x509

from gateway import enrol
from gateway.buses import Counting, reader
from gateway.clock import GatewayClock
from gateway.config import Bus, Configuration, Device, DlmsBus, MbusBus, MbusDevice
from gateway.findings import Finding, Mark, failed
from gateway.inspect import dated
from gateway.owners import daemon_of, holder, port_step
from gateway.poll import BUDGET_S
from gateway.reader import Reader
from gateway.schedule import at_once
from gateway.settled import Positions
from protocols.dlms.faults import NoAnswer, StreamEnded
from protocols.errors import AnotherMeter, LinkError, PlombaError
from protocols.mbus import faults
from protocols.reading import Identity, MeterTime, Precision, Reading
from protocols.transports.pipe import PipeSettings
from protocols.transports.serial import PortBusy
from protocols.transports.tls import client_context, diagnose

STEP_S = 10.0  # one step towards the broker
_RESOLUTION_S = {Precision.SECOND: 1, Precision.MINUTE: 60, Precision.DAY: 86_400}
_RESOLUTION = {Precision.SECOND: "1 s", Precision.MINUTE: "1 min", Precision.DAY: "1 day"}


async def devices(configuration: Configuration, clock: GatewayClock) -> AsyncIterator[Finding]:
    """Each device of each bus, read once."""
    counting = Counting(configuration.state_folder)
    for bus in configuration.bus:
        try:
            found = reader(bus, Positions({}), clock, False, counting=counting)
        except PlombaError as error:  # a model or a device that cannot be read as it is configured
            yield failed(f"bus {bus.name}", error)
            continue
        try:
            async for each in _bus(configuration, bus, found, clock):
                yield each
        finally:
            found.let_go()


async def broker(configuration: Configuration, now: datetime.datetime) -> AsyncIterator[Finding]:
    """The broker: its name, TCP, TLS and our login, up to the first step that fails."""
    async for each in reached(configuration.broker.host, configuration.broker.port):
        yield each
        if each.mark is Mark.FAIL:
            return
    async for each in secured(configuration, now):
        yield each


async def reached(host: str, port: int) -> AsyncIterator[Finding]:
    """Its name and its port."""
    try:
        async with asyncio.timeout(STEP_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        yield Finding(Mark.OK, "broker name", f"{host} is {', '.join(sorted({str(each[4][0]) for each in found}))}")
        async with asyncio.timeout(STEP_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        yield Finding(Mark.OK, "broker port", f"{host}:{port} accepts connections")
    except TimeoutError:
        yield Finding(Mark.FAIL, "broker", f"{host}:{port}: no answer in {STEP_S:.0f} s", "PLB-L201", _REACH)
    except (OSError, UnicodeError) as error:
        what = "broker name" if isinstance(error, socket.gaierror | UnicodeError) else "broker port"
        said = getattr(error, "strerror", None) or str(error)
        words = "nothing listens on this port" if isinstance(error, ConnectionRefusedError) else said
        yield Finding(
            Mark.FAIL, what, f"{host}:{port}: {words}", "PLB-L201", _NAME if what == "broker name" else _REACH
        )


async def secured(configuration: Configuration, now: datetime.datetime) -> AsyncIterator[Finding]:
    """TLS, told apart from the login: a refused certificate shows in the MQTT client as a time-out only."""
    at = configuration.broker
    try:
        tls = await asyncio.to_thread(_tls, pipe_settings(configuration), now)
        yield tls
        if not tls.code:  # the handshake passed; what is wrong with the dates alone, the broker may let in
            yield await _login(pipe_settings(configuration))
    except PlombaError as error:
        yield failed(f"broker TLS {at.host}:{at.port}", error)


_NAME = "check broker.host, and the gateway's name server (resolvectl status)"
_REACH = "check broker.host and broker.port, the cable, and the firewall between"


def pipe_settings(configuration: Configuration) -> PipeSettings:
    """How the gateway connects to its broker."""
    folder, at = configuration.keys_folder, configuration.broker
    files = (folder / enrol.TLS_CA, folder / enrol.TLS_CERTIFICATE, folder / enrol.TLS_KEY)
    return PipeSettings(at.host, at.port, *files, at.server_name)


async def _bus(configuration: Configuration, bus: Bus, found: Reader, clock: GatewayClock) -> AsyncIterator[Finding]:
    for device in bus.device:
        what = f"{bus.name}/{device.name}"
        try:
            async with asyncio.timeout(BUDGET_S):
                shown = await found.read(at_once(device, clock.utc_ms()))
        except TimeoutError:
            text = f"expected an answer within {BUDGET_S:.0f} s, got none"
            yield Finding(Mark.FAIL, what, text, "PLB-M202", "connect this meter alone and try again")
        except LinkError as error:
            found.let_go()
            yield failed(what, error, _link_step(configuration, bus, error))
            if isinstance(bus, MbusBus) or (
                isinstance(bus, DlmsBus) and bus.on_line
            ):  # one line: the others would fail by the same cause
                return
        except PlombaError as error:
            yield failed(what, error, meter_step(bus, device, error))
        else:
            for each in answered(what, device, shown):
                yield each


def answered(what: str, device: Device, shown: list[Reading]) -> list[Finding]:
    """Who answered, how many values, its clock, and what may be written into the file."""
    if not shown:
        return [Finding(Mark.HINT, what, "answered without a reading")]
    first = shown[0]
    count = sum(len(each.values) for each in shown)
    clock = f", clock {against(first.meter_time, first.exchange.at_ms)}" if first.meter_time else ", no clock"
    found = [Finding(Mark.OK, what, f"{described(first.meter)}, {count} values{clock}")]
    lines = to_configure(device, first.meter)
    if lines:
        do = f"write below the name of {device.name}:  {'; '.join(lines)}"
        found.append(
            Finding(Mark.HINT, what, "its identity is not in the file: another meter would be taken for it", do=do)
        )
    return found


def meter_step(bus: Bus, device: Device, error: PlombaError) -> str:
    """What to do about an error of a meter, where its configuration says more than the error."""
    if isinstance(error, AnotherMeter):
        number = "secondary" if isinstance(device, MbusDevice) and device.secondary is not None else "id"
        key = f"{number}, manufacturer, version and medium" if isinstance(device, MbusDevice) else "serial"
        return f"correct {key} of {device.name} in the file, or see whether this is the meter you mean"
    if isinstance(bus, MbusBus) and isinstance(error, faults.NoAnswer):
        return f"{error.do}; 'plomba-gateway scan \"{bus.name}\" --config FILE' shows who answers"
    if isinstance(bus, DlmsBus) and bus.on_line and isinstance(error, NoAnswer):
        return f"{error.do}; and that the line has {bus.baud} baud and parity {bus.parity}, as its meters"
    if isinstance(bus, DlmsBus) and isinstance(error, NoAnswer | StreamEnded):
        other, at = ("tcp", "tcp+hdlc") if (bus.url or "").startswith("tcp+hdlc:") else ("tcp+hdlc", "tcp")
        return f"{error.do}; or try {other}:// instead of {at}:// in the url of {bus.name}"
    return error.do


def described(meter: Identity) -> str:
    """A meter's identity in a line."""
    parts = [each for each in (meter.manufacturer, meter.id or meter.fabrication or meter.plate) if each]
    parts += [f"version {meter.version}"] if meter.version is not None else []
    parts += [f"medium {meter.medium}"] if meter.medium is not None else []
    return " ".join(parts) or "a meter that does not say who it is"


def to_configure(device: Device, meter: Identity) -> list[str]:
    """The lines that fix the identity of a device whose configuration has none."""
    if isinstance(device, MbusDevice):
        if device.identity.id is not None or meter.id is None:
            return []
        text = [f'id = "{meter.id}"'] + ([f'manufacturer = "{meter.manufacturer}"'] if meter.manufacturer else [])
        numbers = (("version", meter.version), ("medium", meter.medium))
        return text + [f"{name} = {number}" for name, number in numbers if number is not None]
    number = meter.fabrication
    return [] if device.serial is not None or not number else [f'serial = "{number}"']


def against(shown: MeterTime, at_ms: int) -> str:
    """A meter's clock beside ours: the difference as far as its resolution shows it, with no zone guessed."""
    utc = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    resolution, grain = _RESOLUTION[shown.precision], _RESOLUTION_S[shown.precision]
    if shown.deviation_min is not None:
        ours = utc + datetime.timedelta(minutes=shown.deviation_min)
        sign = "+" if shown.deviation_min >= 0 else "-"
        zone = f"UTC{sign}{abs(shown.deviation_min) // 60:02}:{abs(shown.deviation_min) % 60:02}"
        return f"{shown} {zone}, {_apart(shown, ours, grain)} (resolution {resolution})"
    local = _apart(shown, utc.astimezone(), grain)
    differences = f"{_apart(shown, utc, grain)} to UTC, {local} to the gateway's local time"
    return f"{shown} without zone, {differences} (resolution {resolution})"


def _apart(shown: MeterTime, ours: datetime.datetime, grain_s: int) -> str:
    shown_s = (shown.calendar() - ours.replace(tzinfo=None)).total_seconds()
    middle_s = shown_s + (grain_s / 2 if grain_s > 1 else 0)  # what is shown is cut off at the resolution
    seconds = round(middle_s / grain_s) * grain_s
    if not seconds:
        return "equal"
    return f"{'+' if seconds > 0 else '-'}{datetime.timedelta(seconds=abs(seconds))}"


def _link_step(configuration: Configuration, bus: Bus, error: LinkError) -> str:
    running = daemon_of(configuration.state_folder)
    if isinstance(error, PortBusy) and isinstance(bus, MbusBus | DlmsBus) and bus.port is not None:
        return port_step(running, holder(bus.port))
    if running:
        return f"{error.do}; the daemon is running (process {running}) and may hold the meter: stop it first"
    return error.do


def _tls(settings: PipeSettings, now: datetime.datetime) -> Finding:
    """The handshake, with the words of `diagnose` where it fails."""
    context = client_context(settings.ca, settings.certificate, settings.key, server_name=settings.server_name)
    words = diagnose(settings.host, settings.port, context)
    what = "broker TLS"
    if words is not None:
        do = "check broker.server_name, this machine's clock, and that the enrolment is of this broker's authority"
        return Finding(Mark.FAIL, what, words, "PLB-L201", do)
    try:
        plain = socket.create_connection((settings.host, settings.port), STEP_S)
        with plain, context.wrap_socket(plain, server_hostname=settings.host) as secured:
            der = secured.getpeercert(binary_form=True)
    except (OSError, ssl.SSLError) as error:
        return Finding(Mark.FAIL, what, f"the second handshake failed: {error}", "PLB-L201", _REACH)
    return dated(what, "", x509.load_der_x509_certificate(der or b""), now)


async def _login(settings: PipeSettings) -> Finding:
    from protocols.transports.mqtt import connect  # noqa: PLC0415 - loads the MQTT client

    try:
        async with connect(settings):
            return Finding(Mark.OK, "broker login", "the broker let us in")
    except PlombaError as error:
        do = "ask the operator whether this gateway is registered at the broker (broker-config)"
        return failed("broker login", error, do)
