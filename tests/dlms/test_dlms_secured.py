"""Ciphered associations over real sockets: our client and dlms-cosem 21.3.2 read our meters, with each access."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import serial
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.clients.dlms_client import DlmsClient
from dlms_cosem.clients.hdlc_transport import SerialHdlcTransport
from dlms_cosem.exceptions import DlmsClientException

from protocols.dlms import data
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.breaches import ProofRefused
from protocols.dlms.ciphering import Keys, Suite
from protocols.dlms.counters import Block
from protocols.dlms.faults import PasswordRefused
from protocols.dlms.objects import DEVICE_ID, Attribute
from protocols.dlms.protection import Security
from protocols.transports.dlms import associated
from protocols.transports.exchange import Clock
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record

HOST = "127.0.0.1"
PASSWORD = b"pw-7519-meter"
KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
LONG_KEYS = Keys(Suite.AES_256, bytes(range(32)), bytes(range(0xC0, 0xE0)))
TITLE = b"PLB\0\0\0\0\1"
BUFFER = Attribute.of(7, "1-0:99.1.0")
FRAMINGS = [Framing.WRAPPER, Framing.HDLC]
GMAC = Access(17, auth=Auth.HLS_GMAC, title=TITLE, security=Security(KEYS))
SECURED = [
    GMAC,
    replace(GMAC, security=Security(KEYS, dedicated=True)),
    replace(GMAC, security=Security(KEYS, general=True)),
    Access(18, auth=Auth.HLS_SHA256, password=PASSWORD, title=TITLE, security=Security(KEYS)),
    Access(19, auth=Auth.LLS, password=PASSWORD, title=TITLE, security=Security(KEYS)),
]


def started(tmp_path: Path, now: Any, keys: Keys, block_size: int = 0) -> tuple[DlmsMeters, Record]:
    record = Record(tmp_path / "record.jsonl")
    changed = partial(replace, block_size=block_size)
    return DlmsMeters(record, now.utc_ms, seed=7, password=PASSWORD, keys=keys, changed=changed), record


@pytest_asyncio.fixture
async def secured(tmp_path: Path, now: Any) -> AsyncIterator[DlmsMeters]:
    """The pair of meters with keys, listening."""
    pair, record = started(tmp_path, now, KEYS)
    await pair.start()
    yield pair
    await pair.stop()
    record.close()


def port_of(meters: DlmsMeters, framing: Framing) -> int:
    return meters.wrapper_port if framing is Framing.WRAPPER else meters.hdlc_port


def counter_of(client: int) -> Attribute:
    return Attribute.of(1, f"0-0:43.1.{client}.255")


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("access", SECURED, ids=["gmac", "dedicated", "general", "sha256", "lls"])
async def test_our_client_reads_a_ciphered_meter(
    secured: DlmsMeters, clock: Clock, framing: Framing, access: Access
) -> None:
    """The whole profile in blocks, and the meter's name; the public client then reads the counter that was last."""
    counters = Block(1_000, 1_000)
    port, meter = port_of(secured, framing), secured._outlets[framing].meter
    async with associated(HOST, port, framing, access, clock, counters=counters) as association:
        whole = meter.get(BUFFER, None, access.client)
        assert (await association.get(BUFFER)).data == whole
        assert (await association.get(DEVICE_ID)).data == data.octet_string(meter.plate.serial.encode())
        assert association.counter_seen is not None
    last = meter.vault.seen[access.client]
    assert 1_000 <= last < 1_000 + 1_000 - counters.left
    if framing is Framing.WRAPPER:
        async with associated(HOST, port, framing, Access(), clock) as association:
            assert (await association.get(counter_of(access.client))).data.content == last


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("access", SECURED, ids=["gmac", "dedicated", "general", "sha256", "lls"])
async def test_lists_and_general_blocks_in_a_ciphered_association(
    tmp_path: Path, now: Any, clock: Clock, framing: Framing, access: Access
) -> None:
    """Several attributes with one question and one counter; a long answer in pieces of one ciphered APDU."""
    pair, record = started(tmp_path, now, KEYS, block_size=200)
    await pair.start()
    meter, counters = pair._outlets[framing].meter, Block(1, 10)
    async with associated(HOST, port_of(pair, framing), framing, access, clock, counters=counters) as association:
        left = counters.left
        name, again = await association.get_many([DEVICE_ID, DEVICE_ID])
        assert name.data == again.data == data.octet_string(meter.plate.serial.encode())
        assert counters.left == left - 1
        assert (await association.get(BUFFER)).data == meter.get(BUFFER, None, access.client)
        assert counters.left == left - 2
    await pair.stop()
    record.close()


async def test_suite_two_over_a_socket(tmp_path: Path, now: Any, clock: Clock) -> None:
    """Keys of 256 bits."""
    pair, record = started(tmp_path, now, LONG_KEYS)
    await pair.start()
    access = replace(GMAC, security=Security(LONG_KEYS, dedicated=True))
    async with associated(HOST, pair.hdlc_port, Framing.HDLC, access, clock, counters=Block(1, 100)) as association:
        assert (await association.get(DEVICE_ID)).data.content
    await pair.stop()
    record.close()


async def test_counters_that_were_used_are_refused_and_new_ones_taken(secured: DlmsMeters, clock: Clock) -> None:
    """A client that forgot where it was gets a named error, and comes in above the number that the public one reads."""
    port = secured.wrapper_port

    async def visit(first: int) -> None:
        counters = Block(first, 100)
        async with associated(HOST, port, Framing.WRAPPER, GMAC, clock, counters=counters) as association:
            await association.get(DEVICE_ID)

    await visit(500)
    with pytest.raises(ProofRefused, match="invocation counter error"):
        await visit(500)
    async with associated(HOST, port, Framing.WRAPPER, Access(), clock) as association:
        last = (await association.get(counter_of(17))).data.content
    assert isinstance(last, int)
    await visit(last + 1)


async def test_wrong_secrets_over_a_socket(secured: DlmsMeters, clock: Clock) -> None:
    """Of each access: refused by name, as a password is, so that nobody tries again and again."""
    for access in SECURED[3:]:
        wrong = replace(access, password=b"another")
        with pytest.raises(PasswordRefused):
            async with associated(HOST, secured.hdlc_port, Framing.HDLC, wrong, clock, counters=Block(10, 10)):
                pass
    wrong = replace(GMAC, security=Security(replace(KEYS, authentication=bytes(16))))
    with pytest.raises(PasswordRefused):
        async with associated(HOST, secured.hdlc_port, Framing.HDLC, wrong, clock, counters=Block(10, 10)):
            pass


def witness(framing: Framing, port: int, keys: Keys) -> tuple[Any, Callable[[], None]]:
    """dlms-cosem with GMAC, over TCP or HDLC, and what closes it."""
    settings: dict[str, Any] = {
        "authentication_method": enumerations.AuthenticationMechanism.HLS_GMAC,
        "encryption_key": keys.encryption,
        "authentication_key": keys.authentication,
        "security_suite": int(keys.suite),
        "client_system_title": b"uti12345",
        "client_initial_invocation_counter": 5_000,
    }
    if framing is Framing.WRAPPER:
        client = DlmsClient.with_tcp_transport(HOST, port, 17, 1, timeout=5, **settings)
        return client, client.disconnect
    line = serial.serial_for_url(f"socket://{HOST}:{port}", timeout=2)
    # Its own disconnect waits for ever where the UA to its DISC has no information.
    return DlmsClient(17, 1, SerialHdlcTransport(17, 1, "", serial=line), **settings), line.close


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_the_witness_reads_a_ciphered_meter(secured: DlmsMeters, framing: Framing) -> None:
    """With GMAC under the general form: it proves itself, checks our meter's proof, and reads what the meter says."""
    plate, meter = secured._outlets[framing].meter.plate, secured._outlets[framing].meter

    def read() -> tuple[bytes, dict[str, Any], bytes]:
        client, close = witness(framing, port_of(secured, framing), KEYS)
        client.connect()
        client.associate()
        name = utils.parse_as_dlms_data(client.get(theirs(DEVICE_ID)))
        spot = {each.name: utils.parse_as_dlms_data(client.get(theirs(each.attribute))) for each in plate.registers}
        buffer = client.get(theirs(BUFFER))
        client.release_association()
        close()
        return bytes(name), spot, bytes(buffer)

    name, spot, buffer = await asyncio.to_thread(read)
    truth = {each.name: meter.get(each.attribute, None, 17) for each in plate.registers}
    assert name == plate.serial.encode()
    assert spot == {each: found.content for each, found in truth.items() if isinstance(found, data.Data)}
    whole = meter.get(BUFFER, None, 17)
    assert isinstance(whole, data.Data)
    assert buffer == data.to_bytes(whole)


async def test_the_witness_with_other_keys_is_refused(secured: DlmsMeters) -> None:
    """It hears our exception."""

    def associate() -> None:
        client, close = witness(Framing.WRAPPER, secured.wrapper_port, replace(KEYS, authentication=bytes(16)))
        client.connect()
        try:
            client.associate()
        finally:
            close()

    with pytest.raises(DlmsClientException):
        await asyncio.to_thread(associate)


def theirs(attribute: Attribute) -> Any:
    interface = enumerations.CosemInterface(attribute.class_id)
    return cosem.CosemAttribute(interface, cosem.Obis(*attribute.name), attribute.number)
