"""Ciphered meters through the gateway's own reader: real sockets, key files, a store of counters, and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_parts import Time

from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import FILE, CounterStore
from gateway.dlms import DlmsReader
from gateway.dlms_access import access_of
from gateway.faults import CountersUnusable, KeyUnusable
from gateway.schedule import Due
from gateway.settled import Positions
from protocols.dlms.access import Auth
from protocols.dlms.breaches import CounterRefused, CounterWentBack, ProofRefused
from protocols.dlms.ciphering import BOTH, Keys, Suite
from protocols.dlms.counters import Block
from protocols.dlms.faults import PasswordRefused
from protocols.reading import Scaled
from protocols.settings.model import checked
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record, read

PASSWORD = b"canary-password"
KEYS = Keys(Suite.AES_128, b"canary-enc-key-0", b"canary-auth-key0")
PUMP = "70098765"
QUARTER_MS = 900_000
AUTHS = {"hls-gmac": 17, "hls-sha256": 18, "lls": 19}


class House:
    """A meter with keys, and what a gateway knows of it, in a time that is passed by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time = folder, Time()
        self.clock = GatewayClock(self.time.sources())
        self.record = Record(folder / "record.jsonl")
        self.meters = DlmsMeters(self.record, lambda: self.time.wall_ms, password=PASSWORD, keys=KEYS)
        self.secrets = {
            "password": self.secret("password", PASSWORD),
            "encryption": self.secret("encryption", KEYS.encryption.hex().encode() + b"\n"),
            "authentication": self.secret("authentication", KEYS.authentication.hex().encode()),
        }

    def secret(self, name: str, octets: bytes) -> Path:
        """A file that nobody else reads."""
        path = self.folder / name
        path.write_bytes(octets)
        path.chmod(0o600)
        return path

    def device(self, auth: str = "hls-gmac", **changed: object) -> DlmsDevice:
        """The meter behind HDLC."""
        fields: dict[str, object] = {
            "name": "pump",
            "cadence_s": 900,
            "client": AUTHS[auth],
            "auth": auth,
            "ciphering": "both",
            "encryption_key_file": self.secrets["encryption"],
            "authentication_key_file": self.secrets["authentication"],
            "system_title": "504C420000000001",
            "serial": PUMP,
        }
        if auth != "hls-gmac":
            fields["password_file"] = self.secrets["password"]
        return checked(DlmsDevice, fields | changed)

    def reader(self, device: DlmsDevice) -> DlmsReader:
        """As of a new process."""
        url = f"tcp+hdlc://127.0.0.1:{self.meters.hdlc_port}"
        bus = DlmsBus(protocol="dlms", name="house", url=url, device=(device,))
        store = CounterStore(self.folder, self.clock.utc_ms)
        return DlmsReader(bus, Positions({}), self.clock, counters=store)

    def due(self, device: DlmsDevice) -> Due:
        """The slot that is open now."""
        slot_ms = self.time.wall_ms // QUARTER_MS * QUARTER_MS
        return Due(device, slot_ms, slot_ms + QUARTER_MS)

    @property
    def vault_seen(self) -> dict[int, int]:
        """What the meter heard last, by client."""
        return next(each.meter.vault for each in self.meters._outlets.values() if each.meter.plate.serial == PUMP).seen


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Listening."""
    found = House(tmp_path)
    await found.meters.start()
    yield found
    await found.meters.stop()
    found.record.close()


@pytest.mark.parametrize("auth", AUTHS)
async def test_a_ciphered_meter_is_read_with_its_rows(house: House, auth: str) -> None:
    """Registers and rows as the meter's own record has them; every visit takes counters above the one before."""
    device = house.device(auth)
    reader = house.reader(device)
    (found,) = await reader.read(house.due(device))
    answer = next(each for each in read(house.record.path) if each.kind == "answer" and each.meter == PUMP)
    numbers = [each.number for each in found.values[:-1]]
    assert [each.mantissa for each in numbers if isinstance(each, Scaled)] == [
        answer.values[f"3/{name}/2"]["m"] for name in device.registers
    ]
    assert await reader.rows(device.name)
    first = house.vault_seen[device.client]
    await house.reader(device).read(house.due(device))
    assert house.vault_seen[device.client] > first


def test_a_configuration_becomes_an_access(house: House) -> None:
    """Each key where it belongs, and none of them shown."""
    device = house.device(
        suite=1, dedicated=True, general_ciphering=True, meter_title="4B414D0000000002", challenge_bytes=32
    )
    found = access_of(device)
    assert (found.auth, found.client, found.challenge_bytes) == (Auth.HLS_GMAC, 17, 32)
    assert (found.title, found.meter_title) == (b"PLB\0\0\0\0\1", b"KAM\0\0\0\0\2")
    assert found.security is not None
    assert (found.security.keys, found.security.ciphering) == (replace(KEYS, suite=Suite.AES_128_SIGNED), BOTH)
    assert (found.security.dedicated, found.security.general) == (True, True)
    assert "canary" not in repr(found)
    assert KEYS.encryption.hex() not in repr(found)


@pytest.mark.parametrize(
    ("octets", "mode", "suite", "words"),
    [
        (None, 0o600, 0, "No such file"),
        (KEYS.encryption.hex().encode(), 0o644, 0, "others may read it"),
        (b"", 0o600, 0, "an empty file"),
        (KEYS.encryption, 0o600, 0, "32 hex digits"),
        (KEYS.encryption.hex().encode()[:-1], 0o600, 0, "32 hex digits"),
        (KEYS.encryption.hex().encode(), 0o600, 2, "64 hex digits"),
        (b"\xff" * 80, 0o600, 0, "32 hex digits"),
    ],
)
def test_an_unusable_key_is_named_and_not_shown(
    house: House, octets: bytes | None, mode: int, suite: int, words: str
) -> None:
    """Missing, open to others, empty, no hex, too short, of another suite."""
    path = house.secrets["encryption"]
    if octets is None:
        path.unlink()
    else:
        path.write_bytes(octets)
        path.chmod(mode)
    with pytest.raises(KeyUnusable, match=words) as caught:
        access_of(house.device(suite=suite))
    assert "canary" not in str(caught.value)
    assert KEYS.encryption.hex()[:-1] not in str(caught.value)


async def test_wrong_keys_are_not_tried_again_before_a_while_unless_they_are_others(house: House) -> None:
    """Meters lock a client that tries too often: one try in twenty minutes, and at once with another key."""
    device = house.device()
    house.secrets["authentication"].write_bytes(bytes(16).hex().encode())
    reader = house.reader(device)
    with pytest.raises(ProofRefused) as caught:
        await reader.read(house.due(device))
    assert "canary" not in str(caught.value)
    port = house.meters.hdlc_port
    await house.meters.stop()  # a second try would be a fault of the line
    with pytest.raises(ProofRefused):
        await reader.read(house.due(device))
    house.meters = DlmsMeters(house.record, lambda: house.time.wall_ms, password=PASSWORD, keys=KEYS)
    await house.meters.start(0, port)
    house.secrets["authentication"].write_bytes(KEYS.authentication.hex().encode())
    await reader.read(house.due(device))


async def test_a_wrong_secret_of_a_hash_is_a_refused_password(house: House) -> None:
    """With its lock-out."""
    house.secrets["password"].write_bytes(b"other")
    device = house.device("hls-sha256")
    with pytest.raises(PasswordRefused):
        await house.reader(device).read(house.due(device))


async def test_a_meter_that_heard_higher_counters_is_read_at_the_next_visit(house: House) -> None:
    """By another client with our title, or before our disk was exchanged: the public client says how far it is."""
    device = house.device()
    house.vault_seen[17] = 2_000_000_000
    reader = house.reader(device)
    with pytest.raises(CounterRefused):
        await reader.read(house.due(device))
    await reader.read(house.due(device))
    assert house.vault_seen[17] > 2_000_000_000


async def test_a_public_answer_that_would_use_the_numbers_up_is_not_believed(house: House) -> None:
    """Nobody seals it: it is a refusal like others, tried again after a while."""
    device = house.device()
    house.vault_seen[17] = 0xFFFF_FFF0
    reader = house.reader(device)
    for _ in range(2):
        with pytest.raises(CounterRefused):
            await reader.read(house.due(device))
    house.vault_seen[17] = 0
    await house.reader(device).read(house.due(device))


@pytest.mark.parametrize("auth", ["hls-gmac", "lls"])
async def test_a_meters_counter_that_goes_down_is_told(house: House, auth: str) -> None:
    """Once where the meter proves who it is; where it does not, what was recorded could be played back."""
    device = house.device(auth)
    await house.reader(device).read(house.due(device))
    for outlet in house.meters._outlets.values():
        outlet.meter.vault.counters = Block(100, 10_000)
    reader = house.reader(device)
    with pytest.raises(CounterWentBack):
        await reader.read(house.due(device))
    if auth == "lls":
        with pytest.raises(CounterWentBack):
            await reader.read(house.due(device))
    else:
        await reader.read(house.due(device))


async def test_without_a_place_for_counters_no_ciphered_meter_is_asked(house: House) -> None:
    """The folder cannot be written, or there is none."""
    device = house.device()
    (house.folder / FILE).mkdir()
    with pytest.raises(CountersUnusable):
        await house.reader(device).read(house.due(device))
    bus = DlmsBus(protocol="dlms", name="house", url="tcp://127.0.0.1:1", device=(device,))
    with pytest.raises(CountersUnusable):
        await DlmsReader(bus, Positions({}), house.clock).read(house.due(device))
