"""dlms-cosem 21.3.2 as an independent witness: its client reads our meters, its codec agrees with ours."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import serial
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.clients.dlms_client import DlmsClient
from dlms_cosem.clients.hdlc_transport import SerialHdlcTransport
from dlms_cosem.crc import CRCCCITT
from dlms_cosem.hdlc import frames
from dlms_cosem.hdlc.address import HdlcAddress
from dlms_cosem.protocol import acse, xdlms
from dlms_cosem.protocol.xdlms import selective_access
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from protocols.dlms import association, data, get, hdlc, notification, profile
from protocols.dlms import set as setting
from protocols.dlms.access import Auth
from protocols.dlms.data import NUMBERS, Data, Tag
from protocols.dlms.hdlc import Frame, FrameReader
from protocols.dlms.initiate import InitiateRequest
from protocols.dlms.objects import CLOCK_TIME, DEVICE_ID, Attribute
from protocols.reading import MeterTime, Precision
from simulators.dlms.meters import DlmsMeters

PASSWORD = b"pw-7519-meter"
HOST = "127.0.0.1"
BUFFER = Attribute.of(7, "1-0:99.1.0")
# Types that the witness decodes; its BCD, bit-string, floats and texts are not implemented, its dates are objects.
WITNESSED = [tag for tag in NUMBERS if tag not in {Tag.BCD, Tag.BOOLEAN}]


def theirs(attribute: Attribute) -> Any:
    interface = enumerations.CosemInterface(attribute.class_id)
    return cosem.CosemAttribute(interface, cosem.Obis(*attribute.name), attribute.number)


@contextmanager
def wrapper_client(port: int) -> Iterator[Any]:
    client = DlmsClient.with_tcp_transport(HOST, port, 16, 1, timeout=5)
    with client.session():
        yield client


@contextmanager
def hdlc_client(port: int) -> Iterator[Any]:
    line = serial.serial_for_url(f"socket://{HOST}:{port}", timeout=2)
    transport = SerialHdlcTransport(32, 1, "", serial=line)
    client = DlmsClient(32, 1, transport, enumerations.AuthenticationMechanism.LLS, PASSWORD)
    client.connect()
    client.associate()
    yield client
    client.release_association()
    line.close()  # no disconnect: the witness waits for ever where the UA to its DISC has no information


def read_with(client: Any, plate: Any) -> tuple[dict[str, int], bytes, Any, Any]:
    spot = {each.name: utils.parse_as_dlms_data(client.get(theirs(each.attribute))) for each in plate.registers}
    device = utils.parse_as_dlms_data(client.get(theirs(DEVICE_ID)))
    return spot, bytes(device), bytes(client.get(theirs(BUFFER))), bytes(client.get(theirs(CLOCK_TIME)))


@pytest.mark.parametrize("open_client", [wrapper_client, hdlc_client])
async def test_its_client_reads_our_meters(meters: DlmsMeters, open_client: Any) -> None:
    """Registers, texts and the whole profile in blocks: what the meter's own objects say."""
    number = 0 if open_client is wrapper_client else 1
    plate = meters.plates[number]
    port = (meters.wrapper_port, meters.hdlc_port)[number]

    def read() -> tuple[dict[str, int], bytes, Any, Any]:
        with open_client(port) as client:
            return read_with(client, plate)

    spot, device, buffer, clock = await asyncio.to_thread(read)
    meter = next(outlet.meter for outlet in meters._outlets.values() if outlet.meter.plate is plate)
    truth = {each.name: meter.get(each.attribute, None, 16) for each in plate.registers}
    assert spot == {name: found.content for name, found in truth.items() if isinstance(found, Data)}
    assert device == plate.serial.encode()
    whole = meter.get(BUFFER, None, 16)
    assert isinstance(whole, Data)
    assert buffer == data.to_bytes(whole)
    assert data.from_bytes(clock) == meter.get(CLOCK_TIME, None, 16)


def plain(found: Data) -> Any:
    return [plain(each) for each in found.content] if isinstance(found.content, tuple) else found.content


def leaves() -> st.SearchStrategy[Data]:
    numbers = [st.builds(Data, st.just(tag), _numbers(*NUMBERS[tag])) for tag in WITNESSED]
    return st.one_of(st.binary(max_size=200).map(data.octet_string), *numbers)


def _numbers(width: int, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (8 * width - 1)) if signed else 0, 2 ** (8 * width - signed) - 1)


@seed(2)
@settings(max_examples=300, deadline=None, database=None)
@given(st.recursive(leaves(), lambda inner: st.lists(inner, min_size=1, max_size=6).map(lambda m: data.array(*m))))
def test_its_parser_agrees_on_data(tree: Data) -> None:
    """Numbers of all widths, octet-strings and arrays of them."""
    parsed = utils.parse_as_dlms_data(data.to_bytes(tree))
    assert _listed(parsed) == plain(tree)


def _listed(parsed: Any) -> Any:
    if isinstance(parsed, list):
        return [_listed(each) for each in parsed]
    return bytes(parsed) if isinstance(parsed, bytearray) else parsed


def test_its_check_sequence_agrees() -> None:
    """On a thousand random inputs."""
    dice = random.Random(3)
    for _ in range(1_000):
        octets = dice.randbytes(dice.randrange(1, 140))
        assert hdlc.check_sequence(octets) == CRCCCITT().calculate_for(octets)


def test_its_frames_are_ours() -> None:
    """Information frames with random payloads and numbers, both ways."""
    dice = random.Random(4)
    client, server = HdlcAddress(16, None, "client"), HdlcAddress(1, 17, "server")
    for _ in range(300):
        payload = dice.randbytes(dice.randrange(1, 120))
        ns, nr, segmented = dice.randrange(8), dice.randrange(8), bool(dice.randrange(2))
        made = frames.InformationFrame(server, client, payload, segmented, True, ns, nr).to_bytes()
        control = nr << 5 | 0x10 | ns << 1
        ours = Frame(hdlc.server_address(1, 17), hdlc.client_address(16), control, payload, segmented)
        assert ours.to_bytes() == made
        assert FrameReader().feed(made) == [ours]


def test_its_association_agrees() -> None:
    """Our AARQ as it reads it, and our AARE."""
    request = association.AssociationRequest(InitiateRequest(), int(Auth.LLS), b"12345678")
    read = acse.ApplicationAssociationRequest.from_bytes(request.to_bytes())
    assert read.authentication is enumerations.AuthenticationMechanism.LLS
    assert bytes(read.authentication_value) == b"12345678"
    conformance = read.user_information.content.proposed_conformance
    assert (conformance.get, conformance.selective_access, conformance.action) == (True, True, False)
    refused = association.AssociationResponse(1, diagnostic=13).to_bytes()
    answered = acse.ApplicationAssociationResponse.from_bytes(refused)
    assert answered.result is enumerations.AssociationResult.REJECTED_PERMANENT
    assert answered.result_source_diagnostics.name == "AUTHENTICATION_FAILED"


def test_it_reads_our_lists() -> None:
    """The question for several attributes, and the answer with data and a refusal; our reader takes what it writes."""
    names = (CLOCK_TIME, Attribute.of(3, "1-0:1.8.0"))
    asked = get.GetList(5, names).to_bytes()
    read = xdlms.GetRequestWithList.from_bytes(asked)
    found = [each.attribute for each in read.cosem_attributes_with_selection]
    assert found == [theirs(each) for each in names]
    assert get.request_from_bytes(read.to_bytes()) == get.GetList(5, names)
    answered = get.GotList(5, (Data(Tag.DOUBLE_LONG_UNSIGNED, 77), get.AccessResult.OBJECT_UNDEFINED))
    response = xdlms.GetResponseWithList.from_bytes(answered.to_bytes())
    assert response.invoke_id_and_priority.invoke_id == 5
    assert [getattr(each, "value", each) for each in response.response_data] == [
        77,
        enumerations.DataAccessResult.OBJECT_UNDEFINED,
    ]


def test_it_reads_our_set_and_our_push() -> None:
    """A value that is set, what came of it, and a notification without a time; and the other way round."""
    value = data.octet_string(b"owner")
    asked = setting.SetNormal(3, DEVICE_ID, value)
    read = xdlms.SetRequestNormal.from_bytes(asked.to_bytes())
    assert (read.cosem_attribute, bytes(read.data)) == (theirs(DEVICE_ID), data.to_bytes(value))
    assert setting.request_from_bytes(read.to_bytes()) == asked
    done = xdlms.SetResponseNormal.from_bytes(setting.Set(3, 3).to_bytes())
    assert done.result is enumerations.DataAccessResult.READ_WRITE_DENIED
    assert setting.response_from_bytes(done.to_bytes()) == setting.Set(3, 3)
    push = notification.DataNotification(7, b"", value)
    found = xdlms.DataNotification.from_bytes(push.to_bytes())
    assert (found.long_invoke_id_and_priority.long_invoke_id, bytes(found.body)) == (7, data.to_bytes(value))
    assert notification.DataNotification.from_bytes(found.to_bytes()).body == value


def test_it_asks_for_rows_by_time_as_we_do() -> None:
    """The same structure; it writes no entry selection (NotImplementedError)."""
    start, end = (datetime.datetime(2026, 11, day, tzinfo=datetime.UTC) for day in (21, 22))
    clock_object = selective_access.CaptureObject(theirs(CLOCK_TIME))
    by_time = selective_access.RangeDescriptor(clock_object, start, end).to_bytes()
    first, last = (MeterTime.from_calendar(each.replace(tzinfo=None), Precision.SECOND) for each in (start, end))
    ours = profile.between(replace(first, deviation_min=0), replace(last, deviation_min=0))
    made = bytes((ours.selector,)) + data.to_bytes(ours.parameters)
    assert len(by_time) == len(made)
    read, _ = data.read(by_time, 1)
    assert [each.tag for each in data.members_of(read, "range")] == [
        each.tag for each in data.members_of(ours.parameters, "range")
    ]
    assert data.members_of(read, "range")[0] == data.members_of(ours.parameters, "range")[0]


async def test_its_client_asks_our_meter_for_a_list_and_sets(meters: DlmsMeters) -> None:
    """What the meter says to several at once is what it says one by one; what was set is read."""
    plate = meters.plates[0]
    names = [each.attribute for each in plate.registers]
    owner = Attribute.of(1, "0-0:96.1.1")

    def read() -> tuple[list[Any], list[Any], bytes]:
        with wrapper_client(meters.wrapper_port) as client:
            singles = [utils.parse_as_dlms_data(client.get(theirs(each))) for each in names]
            asked = [cosem.CosemAttributeWithSelection(theirs(each), None) for each in names]
            many = client.get_many(asked)
            client.set(theirs(owner), data.to_bytes(data.octet_string(b"number 7")))
            return singles, [each.value for each in many.response_data], bytes(client.get(theirs(owner)))

    singles, many, text = await asyncio.to_thread(read)
    assert [bytes(each) if isinstance(each, bytearray) else each for each in many] == singles
    assert data.from_bytes(text) == data.octet_string(b"number 7")
