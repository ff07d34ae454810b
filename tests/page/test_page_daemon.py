"""The page beside the daemon: neither ends the other, and nothing is loaded where nobody asked for it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pages import Served
from servers import Process, free_port, listening
from structlog.testing import capture_logs

from collector.config import Config, Http
from collector.daemon import page_server
from collector.expose.faults import PortTakenError
from collector.expose.health import Health
from collector.expose.serve import PageServer, listen

ROOT = Path(__file__).resolve().parents[2]


def _command(*arguments: object) -> None:
    program = [sys.executable, "-m", "collector.cli", *(str(each) for each in arguments)]
    subprocess.run(program, check=True, capture_output=True, cwd=ROOT)


def _ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _config(folder: Path, place: Http | None) -> Config:
    return Config("utility", folder / "store", folder, "localhost", 8883, None, 604_800, 64, 50, 100, place)


def test_without_http_nothing_of_it_is_loaded() -> None:
    """The daemon's modules alone import neither web framework nor server."""
    code = (
        "import sys, collector.daemon, collector.config;"
        "print([name for name in ('fastapi', 'uvicorn', 'jinja2', 'starlette') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_without_http_nothing_listens(tmp_path: Path) -> None:
    """As the configuration says."""
    assert page_server(_config(tmp_path, None), Health()) is None


async def test_a_taken_port_is_said_and_nothing_ends(tmp_path: Path) -> None:
    """The error has a code and what to do; the daemon goes on without a page."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = Http("127.0.0.1", other.getsockname()[1], ())
        with pytest.raises(PortTakenError, match="PLB-C310: expected a free port"):
            listen(place)
        page = PageServer(_config(tmp_path, place), place, Health())
        with capture_logs() as logs:
            page.start()
            await page.stop()
    assert [each["event"] for each in logs] == ["no page"]
    assert "PLB-C310" in logs[0]["fault"]


async def test_the_address_is_said_at_the_start(tmp_path: Path) -> None:
    """As "page"."""
    place = Http("127.0.0.1", free_port(), ())
    page = PageServer(_config(tmp_path, place), place, Health())
    with capture_logs() as logs:
        page.start()
        await page.stop()
    assert [(each["event"], each["url"]) for each in logs] == [("page", f"http://127.0.0.1:{place.port}/")]


def test_many_at_once_are_bounded(served: Served) -> None:
    """Beyond the limit of connections an answer is 503; afterwards all is as before."""
    waiting = [socket.create_connection(("127.0.0.1", served.http.port)) for _ in range(80)]
    for each in waiting:
        each.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
    try:
        assert served.ask("/healthz")[0] == 503
    finally:
        for each in waiting:
            each.close()
    for _ in range(50):
        if served.ask("/healthz")[0] == 200:
            return
    raise AssertionError("expected an answer after the others left")


def test_the_wheel_has_templates_and_static_files(tmp_path: Path) -> None:
    """What is beside the code is installed with it."""
    pytest.importorskip("hatchling")
    program = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(program, cwd=ROOT, check=True, capture_output=True, timeout=100)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for folder in ("static", "templates"):
        beside = {f"collector/expose/{folder}/{each.name}" for each in (ROOT / "collector/expose" / folder).iterdir()}
        assert beside <= names


def test_the_real_daemon_serves_its_page_while_the_broker_is_away(tmp_path: Path) -> None:
    """The process as an operator starts it: page up, not ready and why, ended by SIGTERM with exit code 0."""
    port = free_port()
    toml = f'collector = "utility"\n[broker]\nhost = "localhost"\nport = {free_port()}\n[http]\nport = {port}\n'
    (tmp_path / "collector.toml").write_text(toml)
    _command("keys", "--config", tmp_path / "collector.toml")
    _command("authority", "create", "--folder", tmp_path / "authority", "--name", "Utility")
    keys = tmp_path / "keys"
    _command(
        "authority", "trust", "--folder", tmp_path / "authority", "--worker", keys / "worker.public", "--out", keys
    )
    log = tmp_path / "log"
    run = [sys.executable, "-m", "collector.cli", "run", "--config", str(tmp_path / "collector.toml")]
    daemon = Process(run, log, lambda: "page" in log.read_text() and listening(port))
    daemon.start()
    try:
        status, text = _ask(port, "/readyz")
        assert (status, "expected a link to the broker" in text) == (503, True)
        assert "No reading has come yet." in _ask(port, "/")[1]
        assert f"url=http://127.0.0.1:{port}/" in log.read_text()
    finally:
        daemon.stop()
    assert "stopped" in log.read_text()
