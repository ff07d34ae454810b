"""What a DLMS meter's login wants, and that no key shows, however it is written and whatever else is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.config import DlmsDevice
from gateway.config_file import read_configuration
from protocols.settings.problems import hides, misplaced

KEY = "c0ffee0123456789c0ffee0123456789"
LONG = KEY + KEY
HEAD = """
gateway = "boiler-room-7"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker.example"
port = 8883
[[bus]]
protocol = "dlms"
name = "supply"
url = "tcp://192.0.2.10:4059"
[[bus.device]]
name = "main meter"
cadence_s = 900
client = 17
"""
KEYS = 'encryption_key_file = "ek"\nauthentication_key_file = "ak"\n'
TITLE = 'system_title = "504C420000000001"\n'
GOOD = 'auth = "hls-gmac"\nciphering = "both"\n' + KEYS + TITLE


def checked(folder: Path, lines: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `check`."""
    (folder / "gateway.toml").write_text(HEAD + lines)
    result = CliRunner().invoke(main, ["check", "--config", str(folder / "gateway.toml"), *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with both keys."""
    for name in ("ek", "ak"):
        (tmp_path / name).write_text(KEY + "\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def test_a_login_with_keys_is_read(site: Path) -> None:
    """Paths are relative to the file."""
    code, output = checked(site, GOOD)
    assert code == 3, output
    assert f"ok   keys of main meter: {site}/ek and {site}/ak" in output
    device = read_configuration(site / "gateway.toml").bus[0].device[0]
    assert isinstance(device, DlmsDevice)
    assert (device.auth, device.ciphering, device.encryption_key_file) == ("hls-gmac", "both", site / "ek")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('auth = "hls-gmac"\n' + TITLE, 'an encryption key for auth = "hls-gmac", got nothing'),
        ('auth = "hls-gmac"\n' + KEYS, 'our system title for auth = "hls-gmac", got nothing'),
        ('ciphering = "encrypted"\n' + TITLE, 'an authentication key for ciphering = "encrypted", got nothing'),
        ('auth = "hls-sha256"\npassword_file = "pw"\n', 'our system title for auth = "hls-sha256", got nothing'),
        ('auth = "hls-md5"\n', 'a password for auth = "hls-md5", got nothing'),
        (GOOD + 'password_file = "pw"\n', 'no password_file with auth = "hls-gmac", got one'),
        (GOOD + 'encryption_key_credential = "x"\n', "encryption_key_file or encryption_key_credential, got both"),
        (KEYS, "no encryption_key_file without ciphering, got one"),
        (GOOD + 'meter_title = "KAM"\n', "a system title in quotes: 8 bytes as 16 hex digits"),
        (GOOD + "suite = 3\n", "suite"),
        (GOOD + "challenge_bytes = 100\n", "challenge_bytes"),
    ],
)
def test_what_a_login_lacks_is_named(site: Path, lines: str, words: str) -> None:
    """With the line to add or to remove."""
    code, output = checked(site, lines)
    assert (code, words in output) == (1, True), output


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize(
    ("name", "content", "mode"),
    [("ek", KEY, 0o644), ("ak", KEY[:-1], 0o600), ("ek", LONG, 0o600), ("ak", f"0x{KEY}", 0o600), ("ek", KEY, 0o600)],
)
def test_a_key_appears_in_no_output(site: Path, arguments: list[str], name: str, content: str, mode: int) -> None:
    """Whatever is wrong with its file."""
    (site / name).write_text(content)
    (site / name).chmod(mode)
    code, output = checked(site, GOOD, *arguments)
    good = content == KEY and mode == 0o600
    assert (code, "PLB-C227" in output, KEY[:-1] in output.lower()) == (3 if good else 1, not good, False)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize(
    "line",
    [
        f'encryption_key = "{KEY}"',
        f"encryption_key = {KEY}",
        f'encryption_key_file = "{KEY}"',
        f"encryption_key_file = '{LONG}'",
        f'authentication_key_credential = "{KEY.upper()}"',
        f'"encryption_key_file" = "{KEY}" x',
        f'guek = "{KEY}"',
        f'encryption_key_x = "{KEY}"',
    ],
)
def test_a_key_that_was_written_into_the_file_is_not_shown(site: Path, line: str, arguments: list[str]) -> None:
    """In place of the path of its file, too."""
    code, output = checked(site, 'auth = "hls-gmac"\n' + TITLE + line + "\n", *arguments)
    assert (code, KEY in output.lower()) == (1, False), output


def test_what_is_no_key_is_shown() -> None:
    """Paths that begin with a number, titles and hashes of other keys."""
    assert misplaced("encryption_key_file", KEY)
    assert not misplaced("encryption_key_file", f"{KEY}.txt")
    assert not misplaced("trust_hash", LONG)
    assert not hides(f'encryption_key_file = "{KEY}.txt"')
    assert not hides(f'hash = "{LONG}"')
