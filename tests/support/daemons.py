"""The gateway's daemon as a process beside its test, with secrets that are to be seen nowhere but in their files."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from gateway.local import SOCKET_FILE
from protocols.dlms.ciphering import Keys, Suite

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = b"canary-password"
KEYS = Keys(Suite.AES_128, b"canary-enc-key-0", b"canary-auth-key0")
SECRETS = {
    "password": PASSWORD,
    "encryption": KEYS.encryption.hex().encode(),
    "authentication": KEYS.authentication.hex().encode(),
}


def set_up(folder: Path, text: str, secrets: Mapping[str, bytes] = SECRETS) -> Path:
    """A gateway's files: its configuration, its secrets in secrets/, its keys; the configuration's path."""
    (folder / "secrets").mkdir()
    for name, content in secrets.items():
        path = folder / "secrets" / name
        path.write_bytes(content)
        path.chmod(0o600)
    file = folder / "gateway.toml"
    file.write_text(text)
    done = CliRunner().invoke(main, ["keys", "--config", str(file)])
    assert done.exit_code == 0, done.output
    return file


@asynccontextmanager
async def daemon(folder: Path, said: list[bytes]) -> AsyncIterator[None]:
    """A life of it, which ends without a word; what it `said` is there behind it."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        "run",
        "--config",
        str(folder / "gateway.toml"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield
    finally:
        started.send_signal(signal.SIGKILL)
        said.append((await started.communicate())[0])


async def listening(folder: Path) -> None:
    """Wait until the daemon answers commands."""
    while not (folder / "state" / SOCKET_FILE).exists():  # noqa: ASYNC110 - what another process did
        await asyncio.sleep(0.05)


def written(folder: Path) -> list[bytes]:
    """Every file but those of the secrets."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.parent.name != "secrets"]


def tells(octets: bytes) -> bool:
    """Whether a secret is in it."""
    secrets = (PASSWORD, KEYS.encryption, KEYS.authentication)
    return any(each in octets or each.hex().encode() in octets.lower() for each in secrets)
