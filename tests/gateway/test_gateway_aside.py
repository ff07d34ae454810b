"""What a daemon needs once is read in a process of its own: values and faults come over, what it imports does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import Processes

from gateway.aside import Aside
from gateway.config_file import read_configuration
from gateway.faults import BadConfiguration, ConfigurationUnreadable, StartBroken
from protocols.settings.problems import ReportedError

EXAMPLE = Path(__file__).parents[2] / "config" / "gateway.example.toml"
# Every part of a daemon that polls M-Bus meters by their addresses and forwards, as the daemon imports them.
DAEMON = """\
import sys
import gateway.aside, gateway.daemon, gateway.logs, gateway.mbus, protocols.transports.mqtt
print(*{name.partition(".")[0] for name in sys.modules})
"""
# A daemon whose configuration takes a minute to read.
READING = """\
import time
from gateway.aside import Aside
def read():
    print("reading", flush=True)
    time.sleep(60)
    print("read", flush=True)
Aside(read).result()
"""
BUSES = 3
SITE = """\
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"
protocol = "mbus"
port = "nowhere"
[[bus.device]]
name = "heat"
secondary = "60300001"
manufacturer = "KAM"
cadence_s = 1
[[bus]]
name = "street"
protocol = "dlms"
url = "tcp://127.0.0.1:1"
[[bus.device]]
name = "flat"
model = "iskraemeco-am550"
cadence_s = 1
registers = ["1-0:1.8.0.255"]
[[bus]]
name = "roof"
protocol = "modbus"
url = "tcp://127.0.0.1:2"
[[bus.device]]
name = "sun"
unit = 1
model = "eastron-sdm630-modbus"
cadence_s = 1
"""


def test_a_configuration_comes_over_as_it_is() -> None:
    """All tables of the example, meters of every protocol."""
    assert Aside(lambda: read_configuration(EXAMPLE)).result() == read_configuration(EXAMPLE)


@pytest.mark.parametrize(
    ("text", "kind"), [('gateway = "Gateway 1"\n', BadConfiguration), ("gateway", ConfigurationUnreadable)]
)
def test_faults_come_over_with_every_problem(tmp_path: Path, text: str, kind: type[ReportedError]) -> None:
    """The technician reads the same report."""
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(kind) as here:
        read_configuration(path)
    with pytest.raises(kind) as over:
        Aside(lambda: read_configuration(path)).result()
    assert over.value.problems
    assert over.value.problems == here.value.problems
    assert over.value.report() == here.value.report()


def test_a_process_that_was_killed_is_named() -> None:
    """As the system does when memory is short; waiting for it does not hang."""
    with pytest.raises(StartBroken, match="exit status -9"):
        Aside(lambda: os.kill(os.getpid(), signal.SIGKILL)).result()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whoever_ends_a_daemon_that_starts_ends_what_reads_for_it(number: signal.Signals) -> None:
    """The other process ends with it, wherever it is, and holds nothing open: not the pipe of its output either."""
    process = subprocess.Popen((sys.executable, "-c", READING), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"reading\n"
    process.send_signal(number)
    assert process.stdout.read() == b""  # open until both have ended
    assert process.wait(10) == -number


def test_a_daemon_keeps_nothing_of_what_checks_a_configuration() -> None:
    """Pydantic alone is 12 MB of the 60 that a daemon may have."""
    found = subprocess.run((sys.executable, "-c", DAEMON), check=True, capture_output=True, text=True)
    assert "gateway" in found.stdout.split()
    assert not {"pydantic", "pydantic_core", "tomllib"} & set(found.stdout.split())


def test_a_daemon_of_meters_of_every_protocol_parses_nothing_itself(tmp_path: Path) -> None:
    """Selected by their numbers, with the search for newcomers, and with models: these come over too."""
    site = Processes(tmp_path, SITE)
    try:
        assert site.gateway("keys").returncode == 0
        daemon = site.daemon()
        site.until(lambda: "event='started'" in site.log() and site.log().count("bus-failed") >= BUSES)
        assert "pydantic" not in Path(f"/proc/{daemon.pid}/maps").read_text()
    finally:
        site.end()
