"""The command `probe` before everything that a technician gets wrong: which step is named, and which setting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dlms_lines import served

from gateway.cli import main
from gateway.clock import system_sources
from protocols.dlms import hdlc
from protocols.dlms.access import Framing
from protocols.dlms.ciphering import Keys, Suite
from protocols.dlms.hdlc import Frame
from protocols.dlms.heard import Heard
from protocols.dlms.opening import Identification
from simulators.dlms.habits import changed
from simulators.dlms.line import line_plates
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record

PASSWORD = b"canary-password"
KEYS = Keys(Suite.AES_128, b"canary-enc-key-0", b"canary-auth-key0")
LGZ = Identification("LGZ", "5", "\\2", "ZMD3104407.B32")
STEPS = ("connection", "framing", "AARQ/AARE", "authentication", "logical device name (first GET)", "device number")
FILE = """gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker"
port = 8883
[[bus]]
protocol = "dlms"
name = "supply"
url = "URL"
[[bus.device]]
name = "main"
client = 32
auth = "lls"
password_file = "password"
cadence_s = 900
"""
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a technician's programs keep what they must not forget."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))


async def probe(*arguments: object) -> Result:
    """The real command, while the meters answer."""
    result = await asyncio.to_thread(CliRunner().invoke, main, ["probe", *map(str, arguments)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert "canary" not in result.output
    return result


def secret(folder: Path, name: str, octets: bytes) -> Path:
    """A file that nobody else reads."""
    path = folder / name
    path.write_bytes(octets)
    path.chmod(0o600)
    return path


def key_file(folder: Path, encryption: bytes = KEYS.encryption) -> Path:
    return secret(folder, "keys", f"{encryption.hex()}\n{KEYS.authentication.hex()}\n".encode())


@asynccontextmanager
async def meters(folder: Path, **more: Any) -> AsyncIterator[DlmsMeters]:
    """Both electricity meters, in the time of this machine."""
    record = Record(folder / "record.jsonl")
    found = DlmsMeters(record, system_sources().wall_ms, password=PASSWORD, history_rows=2, **more)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
        record.close()


@asynccontextmanager
async def stranger(serve: Serve) -> AsyncIterator[int]:
    """Something that is no meter, at a free port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(4096):
        writer.write(octets)
    writer.close()


def saying(answer: bytes) -> Serve:
    """Says the same to everybody, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        writer.close()

    return serve


def lls(found: DlmsMeters, folder: Path, client: int = 32, password: bytes = PASSWORD) -> tuple[object, ...]:
    url = f"tcp+hdlc://127.0.0.1:{found.hdlc_port}"
    return ("--url", url, "--client", client, "--auth", "lls", "--password-file", secret(folder, "password", password))


def fails(result: Result) -> tuple[str, str]:
    """The last step that fails, and what to do about it."""
    lines = result.stdout.splitlines()
    at = max(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    return lines[at], lines[at + 1].strip()


async def test_every_step_is_named_for_the_public_client_and_then_for_the_configured_one(tmp_path: Path) -> None:
    """A meter that can be read is exit code 0, whatever its public client may."""
    async with meters(tmp_path, keys=KEYS) as found:
        url = f"tcp://127.0.0.1:{found.wrapper_port}"
        result = await probe("--url", url, "--client", 17, "--auth", "hls-gmac", "--key-file", key_file(tmp_path))
    assert result.exit_code == 0, result.output
    said = [line for line in result.stdout.splitlines() if line.startswith("ok ")]
    names = [step if step != "framing" else "TCP wrapper" for step in STEPS] + ["clock"]
    counter = "invocation counter of client 17"
    steps = [line.split(": ")[0:2] for line in said]
    assert steps == [["ok   public client 16", each] for each in [*names, counter]] + [
        ["ok   client 17", each] for each in names
    ]
    assert "both sides have proven who they are, ciphered with suite 0" in result.stdout
    assert result.stdout.endswith("\nthe meter can be read\n")


async def test_a_meter_without_a_public_client_is_read_all_the_same(tmp_path: Path) -> None:
    """As one object: the public client's refusal is a hint, and ok is true."""
    async with meters(tmp_path) as found:
        result = await probe(*lls(found, tmp_path), "--json")
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["ok"]) == (0, True)
    assert {each["mark"] for each in shown["findings"] if each["what"].startswith("public")} == {"ok", "hint"}
    assert shown["findings"][-1]["what"] == "client 32: clock"


async def test_a_wrong_password_is_named_once_and_not_tried_again(tmp_path: Path) -> None:
    """Meters lock: one login alone."""
    async with meters(tmp_path) as found:
        result = await probe(*lls(found, tmp_path, password=b"canary-wrong"))
    step, do = fails(result)
    assert step.startswith("FAIL PLB-M306 client 32: authentication: ")
    assert do.startswith("the secret in --password-file is not that of client 32")
    assert (result.exit_code, result.stdout.count("wrong password")) == (1, 1)


async def test_a_meter_that_hangs_up_at_a_login_is_not_tried_again(tmp_path: Path) -> None:
    """It may have counted it: one AARQ with the secret, whatever the public client was let do."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.close()

    async with stranger(serve) as port:
        url = ("--url", f"tcp://127.0.0.1:{port}", "--client", 32, "--auth", "lls")
        result = await probe(*url, "--password-file", secret(tmp_path, "password", PASSWORD))
    assert result.exit_code == 1
    assert sum(PASSWORD in each for each in heard) == 1


async def test_a_wrong_client_a_missing_login_and_keys_too_many(tmp_path: Path) -> None:
    """What the meter says of each is the setting to change."""
    async with meters(tmp_path) as found:
        url = ("--url", f"tcp+hdlc://127.0.0.1:{found.hdlc_port}", "--client", 32)
        client = fails(await probe(*lls(found, tmp_path, client=33)))
        login = fails(await probe(*url))
        keys = fails(await probe(*lls(found, tmp_path), "--key-file", key_file(tmp_path)))
    assert client[0].startswith("FAIL PLB-M305 client 33: AARQ/AARE")
    assert client[1] == "correct --client: the data sheet of the meter has the number for this login"
    assert login[1] == "client 32 wants a login: set --auth to lls or hls-..., with its secret"
    assert keys[1] == "client 32 is not ciphered in this meter: leave --key-file out"


@pytest.mark.parametrize(
    ("words", "code", "do"),
    [
        (("--client", "17", "--auth", "hls-gmac", "KEYS", "--suite", "1"), "PLB-M352", "check --key-file, --suite"),
        (("--client", "17", "--auth", "hls-gmac", "WRONG"), "PLB-M352", "check --key-file, --suite"),
        (("--client", "17", "--auth", "hls-gmac", "KEYS", "--ciphering", "none"), "PLB-M305", "client 17 is ciphered"),
        (("--client", "17"), "PLB-M305", "client 17 is ciphered: set --ciphering and --key-file"),
        (
            ("--client", "17", "--auth", "hls-gmac", "KEYS", "--meter-title", "4B414D0000000002"),
            "PLB-M346",
            "set --meter-title to 4c475a1070098765",
        ),
        (("--client", "18", "--auth", "hls-sha256", "KEYS", "PASSWORD"), "PLB-M352", "the secret in --password-file"),
    ],
)
async def test_what_is_wrong_with_keys_is_told(tmp_path: Path, words: tuple[str, ...], code: str, do: str) -> None:
    """Keys, suite, ciphering, titles and the secret of a hash."""
    given: dict[str, Callable[[], tuple[object, ...]]] = {
        "KEYS": lambda: ("--key-file", key_file(tmp_path)),
        "WRONG": lambda: ("--key-file", key_file(tmp_path, b"canary-enc-key-1")),
        "PASSWORD": lambda: ("--password-file", secret(tmp_path, "password", b"canary-wrong")),
    }
    arguments: list[object] = [part for word in words for part in (given[word]() if word in given else (word,))]
    async with meters(tmp_path, keys=KEYS) as found:
        result = await probe("--url", f"tcp+hdlc://127.0.0.1:{found.hdlc_port}", *arguments)
    step, said = fails(result)
    assert (result.exit_code, code in step) == (1, True), result.output
    assert said.startswith(do)


async def test_the_other_framing_is_found(tmp_path: Path) -> None:
    """HDLC in place of the wrapper and the other way round: the url to write is printed."""
    async with meters(tmp_path) as found:
        hdlc, wrapper = found.hdlc_port, found.wrapper_port
        first = fails(await probe("--url", f"tcp://127.0.0.1:{hdlc}"))
        second = fails(await probe("--url", f"tcp+hdlc://127.0.0.1:{wrapper}"))
    assert first == (
        "FAIL other settings: a meter answers HDLC frames at server 1, in 1 byte",
        f"give --url tcp+hdlc://127.0.0.1:{hdlc}",
    )
    assert second == (
        "FAIL other settings: a meter answers in the TCP wrapper",
        f"give --url tcp://127.0.0.1:{wrapper}",
    )


async def test_the_other_framing_is_found_where_the_next_connections_are_closed_at_once(tmp_path: Path) -> None:
    """A meter with one place that has not noticed yet that the last connection ended: it is asked again."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count not in {2, 3}:
            heard = await reader.read(4096)
            if heard.startswith(b"\x7e"):
                frame = hdlc.FrameReader().feed(heard)[0]
                assert isinstance(frame, Frame)
                writer.write(Frame(frame.source, frame.destination, hdlc.UA | hdlc.POLL_FINAL).to_bytes())
            await reader.read(4096)
        writer.close()

    async with stranger(serve) as port:
        found = fails(await probe("--url", f"tcp://127.0.0.1:{port}"))
    assert found == (
        "FAIL other settings: a meter answers HDLC frames at server 1, in 1 byte",
        f"give --url tcp+hdlc://127.0.0.1:{port}",
    )


@pytest.mark.parametrize("scheme", ["tcp", "tcp+hdlc"])
@pytest.mark.parametrize(
    ("serve", "name"),
    [
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "a web server"),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "an SSH server"),
        (saying(bytes.fromhex("15030300020228")), "a server that wants TLS"),
        (saying(b"welcome to the printer\r\n"), "something that writes text"),
    ],
)
async def test_what_is_no_meter_is_named(scheme: str, serve: Serve, name: str) -> None:
    """A wrong port of the right host: the first client's try says so, no other is made."""
    async with stranger(serve) as port:
        result = await probe("--url", f"{scheme}://127.0.0.1:{port}", "--client", 17)
    step, do = fails(result)
    assert ("client 16" in step, "client 17" in result.output) == (True, False)
    assert name in do
    assert do.endswith("correct --url")


async def test_an_echo_is_no_meter() -> None:
    """Our own bytes come back, and nothing else."""
    async with stranger(echo) as port:
        result = await probe("--url", f"tcp://127.0.0.1:{port}")
    assert "(heard: our own bytes back)" in fails(result)[0]
    assert fails(result)[1] == "something that gives back what it hears answers, and no DLMS meter: correct --url"


async def test_nobody_there_and_a_meter_that_another_program_holds(tmp_path: Path) -> None:
    """A closed port is a matter of the connection; a meter that hangs up at once is mostly taken."""
    async with meters(tmp_path) as found:
        port = found.wrapper_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        taken = fails(await probe("--url", f"tcp://127.0.0.1:{port}"))
        writer.close()
        assert await reader.read() == b""
    closed = fails(await probe("--url", f"tcp://127.0.0.1:{port}"))
    assert taken[0].startswith("FAIL PLB-M304 client 16: TCP wrapper: ")
    assert taken[1].startswith("the connection is closed at once: another program may hold the meter")
    assert closed[0].startswith("FAIL PLB-L210 client 16: connection: ")
    assert closed[1].endswith("(--url)")


async def test_keys_of_the_file_are_named_and_what_may_be_written_into_it(tmp_path: Path) -> None:
    """A configured meter: a wrong password names the key; a good one without a serial is a hint."""
    async with meters(tmp_path) as found:
        file = tmp_path / "gateway.toml"
        file.write_text(FILE.replace("URL", f"tcp+hdlc://127.0.0.1:{found.hdlc_port}"))
        secret(tmp_path, "password", b"canary-wrong")
        wrong = fails(await probe("main", "--config", file))
        secret(tmp_path, "password", PASSWORD)
        good = await probe("main", "--config", file)
        file.write_text(file.read_text() + 'serial = "123"\n')
        other = fails(await probe("main", "--config", file))
    assert wrong[1].startswith("the secret in password_file is not that of client 32")
    assert good.exit_code == 3
    assert 'write below the name of main:  serial = "70098765"' in good.stdout
    assert other[0].startswith("FAIL PLB-M114 client 32: device number: expected device id 123, got 70098765")
    assert 'write serial = "70098765"' in other[1]


@pytest.mark.parametrize(
    ("words", "found", "do"),
    [
        (("--physical", "27"), "a meter answers at server 1, physical 17, in 2 bytes", "give --physical 17"),
        (("--physical", "17", "--baud", "2400"), "a meter answers at 9600 baud", "give --baud 9600"),
    ],
)
async def test_the_setting_of_a_line_is_found(tmp_path: Path, words: tuple[str, ...], found: str, do: str) -> None:
    """A wrong address or speed: silence, and then what answers."""
    async with served(tmp_path, line_plates(1), system_sources().wall_ms):
        result = await probe("--port", tmp_path / "line", "--answer-ms", 300, *words)
    assert fails(result) == (f"FAIL other settings: {found}", do)


async def test_a_link_that_was_left_open_is_ended_and_told(tmp_path: Path) -> None:
    """The meter hears nothing but the end of it; the next try gets in."""
    async with served(tmp_path, line_plates(1), system_sources().wall_ms, "half_open"):
        where = ("--port", tmp_path / "line", "--physical", 17, "--answer-ms", 300)
        first = fails(await probe(*where))
        second = await probe(*where)
    assert first[1] == "probe again: it held a link that somebody had left open"
    assert second.exit_code == 0, second.output


async def test_an_optical_head_without_mode_e_is_found_and_read_with_it(tmp_path: Path) -> None:
    """Its meter is named by its identification."""
    async with served(tmp_path, line_plates(1), system_sources().wall_ms, optical=LGZ):
        where = ("--port", tmp_path / "line", "--physical", 17, "--answer-ms", 300)
        wrong = fails(await probe(*where))
        right = await probe(*where, "--mode-e")
    assert wrong == (
        "FAIL other settings: an optical port answers, of a meter that says LGZ ZMD3104407.B32",
        "give --mode-e",
    )
    assert (right.exit_code, "mode E: the meter went over to HDLC" in right.stdout) == (0, True), right.output


@pytest.mark.parametrize(
    ("received", "name"),
    [
        (b"\xe5", "an M-Bus line"),
        (bytes.fromhex("6803036808017283"), "an M-Bus line"),
        (bytes.fromhex("000100000003018302"), "a Modbus TCP device"),
        (b"/LGZ5\\2ZMD\r\n", "a meter that answers with its identification (IEC 62056-21)"),
        (b"\xff\xfb\x01", "a telnet server, or a converter with RFC 2217 on"),
        (b"\x91\x12\x00\x44", ""),
        (b"", ""),
    ],
)
def test_what_speaks_is_known_by_how_it_begins(received: bytes, name: str) -> None:
    """What nobody knows is called nothing."""
    assert Heard(Framing.HDLC, b"", received).stranger() == name


def test_what_comes_behind_the_release_counts_no_more() -> None:
    """A UA to DISC is no UA to SNRM."""
    ours, theirs = hdlc.client_address(16), hdlc.server_address(1, None)
    snrm, disc = (Frame(theirs, ours, each | hdlc.POLL_FINAL).to_bytes() for each in (hdlc.SNRM, hdlc.DISC))
    acknowledged = Frame(ours, theirs, hdlc.UA | hdlc.POLL_FINAL).to_bytes()
    assert Heard.of(Framing.HDLC, [(True, snrm), (False, acknowledged)]).linked
    assert not Heard.of(Framing.HDLC, [(True, snrm), (True, disc), (False, acknowledged)]).linked


async def test_an_offset_of_the_other_sign_is_named_with_its_setting(tmp_path: Path) -> None:
    """The clock is right then; with the setting the ways in use are shown, and nothing is to be done."""
    async with meters(tmp_path, changed=lambda plate: changed(plate, "reversed")) as found:
        plain = await probe(*lls(found, tmp_path))
        told = await probe(*lls(found, tmp_path), "--offset-sign", "reversed", "--pause-ms", 200)
    assert plain.exit_code == 3, plain.output
    assert "give --offset-sign reversed" in plain.output
    assert told.exit_code == 0, told.output
    assert "offset_sign = reversed, pause_ms = 200" in told.output
