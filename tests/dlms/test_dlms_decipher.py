"""The command decode with keys: the Green Book's answer, real pushes, whole conversations; and what does not open."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from gateway.cli import main
from gateway.lines import MACHINE
from gateway.tap import Log, tapped
from protocols.dlms import frames, layout
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.breaches import Compressed, KeyUnknown, NotAuthentic, TitleRefused, WeakProtection
from protocols.dlms.ciphering import BOTH, GENERAL_DED, GENERAL_GLO, Ciphered, Control, Keys, Suite, nonce, sealed
from protocols.dlms.counters import Block
from protocols.dlms.decipher import Opener
from protocols.dlms.objects import DEVICE_ID
from protocols.dlms.protection import Security
from protocols.errors import MeterError
from protocols.transports.dlms import associated
from protocols.transports.exchange import Clock
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record

KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
LONG_KEYS = Keys(Suite.AES_256, bytes(range(32)), bytes(range(0xC0, 0xE0)))
BOOK_TITLE = "4D4D4D0000BC614E"
BOOK = "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"
TITLE = b"KAM\0\0\0\0\2"
PUSH = bytes.fromhex("0f00000001000906000000000000")  # a data-notification without a time, of six octets
GET_RESPONSE = bytes.fromhex("c401410006075bcd15")
PASSWORD = b"canary-password"


def file_of(folder: Path, keys: Keys, name: str = "keys") -> Path:
    """A key file."""
    path = folder / name
    path.write_text(f"{keys.encryption.hex()}\n{keys.authentication.hex()}\n")
    path.chmod(0o600)
    return path


def decode(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["decode", *map(str, arguments)], input=stdin)


def ciphered(control: int, keys: Keys = KEYS, tag: int = GENERAL_GLO, title: bytes = TITLE) -> bytes:
    """A GET response under these keys."""
    body = sealed(control, keys.encryption, keys.authentication, nonce(TITLE, 7), GET_RESPONSE)
    return Ciphered(tag, control, 7, body, title).to_bytes()


def opened(octets: bytes, opener: Opener) -> frames.Explained:
    found = layout.explained(octets)
    opener.open(found)
    return found


def test_the_books_own_initiate_request_opens_and_its_dedicated_key_is_not_shown(tmp_path: Path) -> None:
    """With the title of its sender, which this form has not."""
    result = decode(BOOK, "--key-file", file_of(tmp_path, KEYS), "--system-title", BOOK_TITLE)
    assert result.exit_code == 0, result.output
    assert "deciphered from glo-initiate-request:" in result.stdout
    assert "  max pdu                   1200" in result.stdout
    assert "00112233" not in result.output.replace(" ", "")


@pytest.mark.parametrize("which", [0, 1])
def test_a_wrong_key_is_told_plainly_and_nothing_is_shown_behind_it(tmp_path: Path, which: int) -> None:
    """Encryption or authentication key."""
    wrong = [bytes(16) if n == which else key for n, key in enumerate((KEYS.encryption, KEYS.authentication))]
    keys = file_of(tmp_path, Keys(Suite.AES_128, *wrong))
    result = decode(BOOK, "--key-file", keys, "--system-title", BOOK_TITLE)
    assert result.exit_code == 1
    assert "PLB-M340: expected an authentication tag that holds, got the tag 41db" in result.stderr
    assert "WRONG with these keys and the system title 4d4d4d0000bc614e" in result.stderr
    assert "deciphered" not in result.stdout
    without = decode(BOOK, "--key-file", file_of(tmp_path, KEYS))
    assert (without.exit_code, "PLB-M346: expected the sender's system title" in without.stderr) == (1, True)


@pytest.mark.parametrize("name", ["hdlc_kamstrup_omnipower", "hdlc_lgz_e450_2"])
def test_pushes_of_real_meters_are_deciphered(tmp_path: Path, captures: Path, name: str) -> None:
    """From the frames as they were captured to the registers, with the published keys; with others they stay closed."""
    digits = {kind: re.sub(r"[^0-9A-Fa-f]", "", (captures / f"{name}.{kind}").read_text()) for kind in ("key", "gak")}
    keys = Keys(Suite.AES_128, *(bytes.fromhex(digits[kind]) for kind in ("key", "gak")))
    telegram = re.sub(r"[^0-9A-Fa-f]", "", (captures / f"{name}.log").read_text("utf-8-sig"))
    shown = json.loads(decode(telegram, "--json", "--key-file", file_of(tmp_path, keys)).stdout)
    push = shown["apdus"][-1]
    assert (push["name"], push["deciphered_from"]) == ("data-notification", "general-glo-ciphering")
    assert push["data"]
    wrong = Keys(Suite.AES_128, keys.authentication, keys.encryption)
    refused = decode(telegram, "--key-file", file_of(tmp_path, wrong, "wrong"))
    authenticated = "authenticated" in shown["apdus"][-2]["security"]
    assert (refused.exit_code, "WRONG" in refused.stderr) == (1, authenticated)


def test_a_push_under_a_dedicated_key_opens_where_that_is_known(tmp_path: Path) -> None:
    """A data-notification as general-ded-ciphering; with the global keys alone it is named and stays closed."""
    body = sealed(BOTH | KEYS.suite, OTHER_KEY, KEYS.authentication, nonce(TITLE, 7), PUSH)
    octets = Ciphered(GENERAL_DED, BOTH | KEYS.suite, 7, body, TITLE).to_bytes()
    key = tmp_path / "dedicated"
    key.write_text(OTHER_KEY.hex() + "\n")
    key.chmod(0o600)
    keys = file_of(tmp_path, KEYS)
    shown = json.loads(decode(octets.hex(), "--json", "--key-file", keys, "--dedicated-key-file", key).stdout)
    push = shown["apdus"][-1]
    assert (push["name"], push["deciphered_from"]) == ("data-notification", "general-ded-ciphering")
    without = decode(octets.hex(), "--key-file", keys)
    assert (without.exit_code, "PLB-M345: expected the dedicated key" in without.stderr) == (1, True)


@pytest.mark.parametrize("keys", [KEYS, LONG_KEYS], ids=["suite-0", "suite-2"])
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_whole_conversation_is_deciphered_line_by_line(
    tmp_path: Path, clock: Clock, keys: Keys, general: bool, dedicated: bool
) -> None:
    """Titles come with AARQ and AARE, the key of the association with the initiate-request; no secret is printed."""
    log, record = Log(), Record(tmp_path / "record.jsonl")
    meters = DlmsMeters(record, clock.utc_ms, password=PASSWORD, keys=keys)
    await meters.start()
    access = Access(17, auth=Auth.HLS_GMAC, title=b"PLB\0\0\0\0\1", security=Security(keys, BOTH, dedicated, general))
    lines = tapped(MACHINE, log)
    try:
        async with associated(
            "127.0.0.1", meters.wrapper_port, Framing.WRAPPER, access, clock, 5.0, lines.tcp, Block(1, 100)
        ) as association:
            await association.get(DEVICE_ID)
    finally:
        await meters.stop()
        record.close()
    heard = "\n".join(octets.hex() for _, octets in log.entries)
    result = decode("-", "--json", "--key-file", file_of(tmp_path, keys), stdin=heard)
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each.get("error") for each in shown] == [None] * len(log.entries)
    apdus = [apdu for each in shown for apdu in each["apdus"] if "deciphered_from" in apdu]
    begin = ["initiate-request", "initiate-response", "action-request", "action-response"]
    assert [apdu["name"] for apdu in apdus] == [*begin, "get-request", "get-response"]
    assert [each["value"] for each in apdus[5]["data"]] == ["50012345"]
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("octets", "opener", "kind"),
    [
        (ciphered(0x30), Opener(LONG_KEYS), WeakProtection),
        (ciphered(0xB0), Opener(KEYS), Compressed),
        (ciphered(0x30, title=b"KAM"), Opener(KEYS), TitleRefused),
        (ciphered(0x30, tag=0xCC, title=b""), Opener(KEYS), TitleRefused),
        (ciphered(0x30, tag=0xD4, title=b""), Opener(KEYS, (TITLE,)), KeyUnknown),
        (ciphered(0x30, tag=0xCC, title=b""), Opener(KEYS, (b"KAM\0\0\0\0\3",)), NotAuthentic),
    ],
)
def test_what_cannot_be_opened_is_named(octets: bytes, opener: Opener, kind: type[MeterError]) -> None:
    """Keys of another suite, compression, titles, a dedicated key that is not here."""
    found = opened(octets, opener)
    assert isinstance(found.error, kind)
    assert len(found.apdus) == 1


@pytest.mark.parametrize("suite", [0, 1])
@pytest.mark.parametrize("control", [Control.AUTHENTICATED, Control.ENCRYPTED, BOTH])
def test_every_protection_opens_and_what_proves_nothing_is_said(suite: int, control: Control) -> None:
    """Of several titles the one that fits is taken; encryption alone has no tag."""
    for octets in (ciphered(control | suite), ciphered(control | suite, tag=0xCC, title=b"")):
        found = opened(octets, Opener(KEYS, (b"KAM\0\0\0\0\3", TITLE)))
        assert (found.error, found.apdus[-1].octets) == (None, GET_RESPONSE)
        said = any("no authentication tag" in each for each in found.remarks)
        assert said == (control is Control.ENCRYPTED)


MASTER = bytes(range(0x40, 0x50))
OTHER_KEY = bytes(range(0x60, 0x70))
HEADER = b"\x08" + bytes(range(8)) + b"\x08" + TITLE + b"\0\0\0"
UNICAST_KEY, BROADCAST_KEY = b"\x01\x00\x00", b"\x01\x00\x01"
WRAPPED_KEY = b"\x01\x01\x00\x18" + aes_key_wrap(MASTER, OTHER_KEY)
AGREED_KEY = b"\x01\x02\x01\x02\x02\xab\xcd"


def in_general(key: bytes, info: bytes, header: bytes = HEADER) -> bytes:
    """A GET response under general-ciphering, built here without the decoder's own hand."""
    lead = b"\x30" + (7).to_bytes(4, "big")
    beside = lead[:1] + KEYS.authentication + header
    content = lead + AESGCM(key).encrypt(TITLE + lead[1:], GET_RESPONSE, beside)[:-4]  # a tag of 12 bytes
    return b"\xdd" + header + info + bytes((len(content),)) + content


@pytest.mark.parametrize(
    ("octets", "opener"),
    [
        (in_general(KEYS.encryption, UNICAST_KEY), Opener(KEYS)),
        (in_general(KEYS.encryption, b"\x00"), Opener(KEYS)),
        (in_general(KEYS.encryption, UNICAST_KEY, b"\0" * 5), Opener(KEYS, (TITLE,))),
        (
            in_general(OTHER_KEY, BROADCAST_KEY),
            Opener(Keys(Suite.AES_128, KEYS.encryption, KEYS.authentication, OTHER_KEY)),
        ),
        (in_general(OTHER_KEY, WRAPPED_KEY), Opener(KEYS, master=MASTER)),
    ],
)
def test_general_ciphering_opens_under_an_identified_and_under_a_wrapped_key(octets: bytes, opener: Opener) -> None:
    """With a title or without, with the key information or without."""
    found = opened(octets, opener)
    assert (found.error, found.apdus[-1].octets) == (None, GET_RESPONSE)
    assert found.apdus[-1].fields["deciphered_from"] == "general-ciphering"


@pytest.mark.parametrize(
    ("octets", "opener", "kind"),
    [
        (in_general(OTHER_KEY, WRAPPED_KEY), Opener(KEYS), KeyUnknown),
        (in_general(OTHER_KEY, WRAPPED_KEY), Opener(KEYS, master=OTHER_KEY), NotAuthentic),
        (in_general(OTHER_KEY, AGREED_KEY), Opener(KEYS, master=MASTER), KeyUnknown),
        (in_general(OTHER_KEY, UNICAST_KEY), Opener(KEYS), NotAuthentic),
        (in_general(KEYS.encryption, UNICAST_KEY).replace(HEADER[:9], b"\x08" + bytes(8)), Opener(KEYS), NotAuthentic),
    ],
)
def test_general_ciphering_that_does_not_open_is_named(octets: bytes, opener: Opener, kind: type[MeterError]) -> None:
    """No master key or another one, an agreed key, another key, a header that was changed."""
    found = opened(octets, opener)
    assert isinstance(found.error, kind)
    assert len(found.apdus) == 1


def test_the_master_key_is_given_in_a_file_and_never_shown(tmp_path: Path) -> None:
    """As the command takes it."""
    keys, master = file_of(tmp_path, KEYS), tmp_path / "master"
    master.write_text(MASTER.hex())
    master.chmod(0o600)
    telegram = in_general(OTHER_KEY, WRAPPED_KEY).hex()
    result = decode(telegram, "--key-file", keys, "--master-key-file", master)
    assert (result.exit_code, "123456789" in result.output) == (0, True), result.output
    assert not any(each.hex() in result.output.lower().replace(" ", "") for each in (MASTER, OTHER_KEY))
    assert decode(telegram, "--master-key-file", master).exit_code == 2


def test_an_empty_text_that_nothing_authenticates_is_explained() -> None:
    """It opens to nothing, and is said to be nothing."""
    octets = Ciphered(GENERAL_GLO, Control.ENCRYPTED, 7, b"", TITLE).to_bytes()
    assert opened(octets, Opener(KEYS)).error is not None


def test_mutated_telegrams_are_explained_or_refused() -> None:
    """Never another exception, with the key of an association held or not."""
    dice = random.Random(7)
    whole = [ciphered(BOTH), ciphered(Control.ENCRYPTED), ciphered(BOTH, tag=0xD4, title=b""), bytes.fromhex(BOOK)]
    whole += [in_general(OTHER_KEY, each) for each in (WRAPPED_KEY, AGREED_KEY, UNICAST_KEY)]
    for _ in range(2_000):
        octets = bytearray(dice.choice(whole))
        for _ in range(dice.randint(1, 4)):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        telegram = bytes(octets[: dice.randint(1, len(octets))])
        opener = Opener(KEYS, (TITLE,), KEYS.encryption if dice.random() < 0.5 else b"", MASTER)
        try:
            opened(telegram, opener)
        except MeterError:
            continue


def test_options_of_keys_belong_together(tmp_path: Path) -> None:
    """And a title has 16 digits."""
    keys = file_of(tmp_path, KEYS)
    assert decode(BOOK, "--system-title", BOOK_TITLE).exit_code == 2
    assert "expected 16 hex digits" in decode(BOOK, "--key-file", keys, "--system-title", "4D4D").output
    keys.chmod(0o644)
    assert "others may read it" in decode(BOOK, "--key-file", keys).output
