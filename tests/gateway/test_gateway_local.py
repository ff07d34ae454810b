"""The daemon's local socket: what is no question harms nobody, and what a killed daemon left does not matter."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway import local
from gateway.faults import DaemonRefused, DaemonSilent, WriteFailed
from gateway.local import SOCKET_FILE, Verb, ask, serving
from protocols.uplink.pack import Wire, pack


async def _echo(arguments: list[Wire]) -> Wire:
    return arguments


async def _fails(arguments: list[Wire]) -> Wire:
    raise WriteFailed("a disk", "none", "here")


VERBS: Mapping[str, Verb] = {"echo": _echo, "fails": _fails}


async def test_a_question_is_answered_or_refused_by_name(tmp_path: Path) -> None:
    """Also in a folder whose name is longer than a socket's address may be."""
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    async with serving(folder, VERBS):
        assert stat.S_IMODE((folder / SOCKET_FILE).stat().st_mode) == 0o660
        assert await asyncio.to_thread(ask, folder, "echo", 1, b"two") == [1, b"two"]
        with pytest.raises(DaemonRefused, match="PLB-S204"):
            await asyncio.to_thread(ask, folder, "fails")
        with pytest.raises(DaemonRefused, match="one of echo, fails"):
            await asyncio.to_thread(ask, folder, "nothing")
    assert not (folder / SOCKET_FILE).exists()
    with pytest.raises(DaemonSilent, match="PLB-S207"):
        ask(folder, "echo")


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x00\x00", b"\xff\xff\xff\xff" + bytes(100), (3).to_bytes(4, "big") + b"\xc1\xc1\xc1", bytes(4)],
    ids=["nothing", "cut off", "too long", "no msgpack", "empty"],
)
async def test_what_is_no_question_leaves_the_next_one_answered(tmp_path: Path, octets: bytes) -> None:
    async with serving(tmp_path, VERBS):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_FILE))
        writer.write(octets)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert await asyncio.to_thread(ask, tmp_path, "echo") == []


async def test_who_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends; others are answered meanwhile."""
    monkeypatch.setattr(local, "ASK_S", 0.2)
    async with serving(tmp_path, VERBS):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_FILE))
        assert await asyncio.to_thread(ask, tmp_path, "echo") == []
        assert await reader.read() == b""
        writer.close()


async def test_the_socket_of_a_daemon_that_was_killed_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET_FILE))
    left.close()
    with pytest.raises(DaemonSilent):
        ask(tmp_path, "echo")
    async with serving(tmp_path, VERBS):
        assert await asyncio.to_thread(ask, tmp_path, "echo", 5) == [5]


async def test_a_daemon_that_answers_something_else_is_told_from_ours(tmp_path: Path) -> None:
    async def wrong(up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        await up.read(1)
        said = pack([1, 2, 3])
        down.write(len(said).to_bytes(4, "big") + said)
        down.close()

    server = await asyncio.start_unix_server(wrong, str(tmp_path / SOCKET_FILE))
    with pytest.raises(DaemonSilent, match="another one"):
        await asyncio.to_thread(ask, tmp_path, "echo")
    server.close()
