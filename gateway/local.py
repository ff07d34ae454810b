"""The daemon's local socket: commands on the same machine ask what only the daemon may do while it runs.

One question and one answer for each connection: four bytes of length (big-endian), then `[verb, argument, ...]` up, and
down `[true, answer]` or `[false, message]`, in the strict form of the uplink. Who may open the socket's file may ask:
the daemon's user and group.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog

from gateway.faults import DaemonRefused, DaemonSilent
from protocols.errors import PlombaError
from protocols.uplink.pack import Wire, pack, unpack

SOCKET_FILE = "control.sock"
MODE = 0o660
MOST = 1024 * 1024  # bytes of a question or an answer
LENGTH = 4
ASK_S = 5.0  # for a question to come in whole
ANSWER_S = 60.0  # for an answer: a disk may be slow

Verb = Callable[[list[Wire]], Awaitable[Wire]]

log = structlog.get_logger("plomba.gateway")


@asynccontextmanager
async def serving(folder: Path, verbs: Mapping[str, Verb]) -> AsyncIterator[None]:
    """Answer at the socket in `folder`, which is the caller's alone, while inside."""
    listening = _bound(folder / SOCKET_FILE)
    server = await asyncio.start_unix_server(lambda up, down: _one(verbs, up, down), sock=listening)
    try:
        yield
    finally:
        server.close()
        _remove(folder / SOCKET_FILE)


def _bound(place: Path) -> socket.socket:
    _remove(place)  # of a daemon that was killed: the folder's lock is ours
    listening = socket.socket(socket.AF_UNIX)
    try:
        with _reached(place) as path:
            listening.bind(path)
        place.chmod(MODE)
    except OSError:
        listening.close()
        raise
    return listening


def _remove(place: Path) -> None:
    with suppress(OSError):
        place.unlink(missing_ok=True)


async def _one(verbs: Mapping[str, Verb], up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(ASK_S):
            size = int.from_bytes(await up.readexactly(LENGTH), "big")
            octets = await up.readexactly(min(size, MOST + 1))
        said = pack(await answer(verbs, octets))
        down.write(len(said).to_bytes(LENGTH, "big") + said)
        async with asyncio.timeout(ASK_S):
            await down.drain()
    except (OSError, EOFError, TimeoutError):
        log.debug("local-connection-ended")
    finally:
        down.close()


async def answer(verbs: Mapping[str, Verb], octets: bytes) -> list[Wire]:
    """What is said to a question; nothing that it holds ends the daemon."""
    try:
        asked = unpack(octets, MOST, "question")
        if not isinstance(asked, list) or not asked or not isinstance(asked[0], str) or asked[0] not in verbs:
            return [False, f"expected one of {', '.join(sorted(verbs))}, got another question"]
        return [True, await verbs[asked[0]](asked[1:])]
    except PlombaError as error:
        return [False, str(error)]


def ask(folder: Path, verb: str, *arguments: Wire, answer_s: float = ANSWER_S) -> Wire:
    """What the daemon that runs in `folder` answers, within `answer_s`.

    Raises:
        DaemonRefused: it says no, and why.
        DaemonSilent: it does not answer, or its socket may not be used by this user.
    """
    where = str(folder / SOCKET_FILE)
    octets = pack([verb, *arguments])
    try:
        with _reached(folder / SOCKET_FILE) as path, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(answer_s)
            line.connect(path)
            line.sendall(len(octets).to_bytes(LENGTH, "big") + octets)
            size = int.from_bytes(_exactly(line, LENGTH), "big")
            said = unpack(_exactly(line, min(size, MOST + 1)), MOST, "answer")
    except OSError as error:
        raise DaemonSilent("an answer of the daemon", error.strerror or str(error) or "none in time", where) from None
    if not isinstance(said, list) or len(said) != 2:
        raise DaemonSilent("an answer of the daemon", "another one", where)
    if said[0] is not True:
        raise DaemonRefused("a daemon that does it", str(said[1]), where)
    return said[1]


def _exactly(line: socket.socket, size: int) -> bytes:
    octets = bytearray()
    while len(octets) < size:
        some = line.recv(size - len(octets))
        if not some:
            raise ConnectionResetError(f"it ended after {len(octets)} of {size} bytes")
        octets += some
    return bytes(octets)


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A short name for the socket: an address holds 107 bytes, and a state folder may lie deep."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
