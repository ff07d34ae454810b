"""Fuzz targets: what meters send, at each depth: the stream, the frame, the telegram, values and their seal.

An input of a `... in its frame` target is what stands inside; frame, lengths and check sums around it are right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from zlib import crc32

import samples
from fuzzing import MIB, Target, Work

from gateway import mbus as mbus_reader
from gateway import modbus as modbus_reader
from protocols.dlms import association, binary, clock, data, get, hdlc, initiate, objects, profile
from protocols.dlms import session as dlms_session
from protocols.dlms import set as setting
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.action import Acted, ActionRefused
from protocols.dlms.apdu import ConfirmedServiceError, ExceptionResponse, Released, answer_from_bytes
from protocols.dlms.data import Data, Tag
from protocols.dlms.hdlc import POLL_FINAL, Frame, FrameReader
from protocols.dlms.link import Parameters
from protocols.dlms.objects import CLOCK_TIME, Attribute, ScalerUnit
from protocols.dlms.server import HdlcServer, Server, WrapperServer
from protocols.dlms.session import Session
from protocols.dlms.ways import OffsetSign, Ways
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import MeterError
from protocols.mbus import explain, layout, link, select, telegram, walk
from protocols.mbus.meaning import identity, values
from protocols.mbus.pymeterbus import req_ud2
from protocols.mbus.search import SecondarySearch
from protocols.mbus.session import Done, Failed, ReadSession, Send, SlaveState, Wait
from protocols.mbus.sweep import PrimarySearch
from protocols.mbus.timing import Timing
from protocols.modbus import adu, crc, rtu, torn
from protocols.modbus import values as modbus_values
from protocols.modbus.blocks import plan
from protocols.modbus.registers import Register as RtuRegister
from protocols.models import modbus as models
from protocols.reading import How, Identity, MeterTime, Precision, Protocol, Raw, Reading, State, Status, Value
from protocols.transports.exchange import Answer
from protocols.uplink import body
from simulators.mbus import encoding
from simulators.mbus.meters import cellar
from simulators.mbus.meters import telegram as simulated

SEALED = Work(60_000, 600)  # what is sealed is also expanded again
EXPLAINED = Work(10_000, 400)  # three times over, and each byte has words
req_ud2(1, True)  # imports pyMeterBus, which takes its time
MODELS = tuple(map(models.load, models.names()))
STEPS = 20_000  # turns of one session: more than all its limits together allow
FRAMES = tuple(simulated(plate, plate.first, samples.START_MS)[0] for plate in cellar())
PLATE = select.of_header(link.parse(FRAMES[0])) or select.Secondary()
CONSTRUCTED = tuple(
    bytes.fromhex(each)
    for each in (
        "0406 01000000 0406 02000000 4406 03000000 426c 1f3a 046d 1a0ecd13",
        "848040 fd9710 0d fd11 05 4141414141 0dfd11 c3 123456 0dfd11 e8 0102030405060708 06 13 ffffffffffff",
        "05 5b 0000807f 0a 5e eeee 3b 13 bdebdd 07 78 0102030405060708 142d 10000000 14ad6f 32147a18 046d 00000000",
        "0f 01020304 1f 0406 01000000 7f 047c 03 414243 11223344 04ff22 00000000 06 6d 010203040506",
    )
)
FIXED = bytes.fromhex("73785634120a00e97e0100000035010000")  # CI 73: two counters
ACCESS = Access(client=16, server=1, physical=17, auth=Auth.LLS, password=b"12345678")
ENERGY = Attribute.of(3, "1-0:1.8.0")
ANSWER = bytes.fromhex("000700000007010404e2400001")
AARE = association.AssociationResponse(initiate=initiate.InitiateResponse(initiate.OURS, 1_024)).to_bytes()
NUMBERS = (Data(Tag.DOUBLE_LONG_UNSIGNED, 77), Data(Tag.LONG64, -1), Data(Tag.FLOAT32, b"\x7f\x80\0\0"))
CELLS = (*NUMBERS, Data(Tag.BCD, 5), data.NULL, data.octet_string(b"abc"), Data(Tag.UTF8_STRING, "ä".encode()))
SHOWN_TIMES = tuple(clock.to_bytes(MeterTime(900 * n, Precision.SECOND, False, 60)) for n in range(3))
TIMES = tuple(map(data.octet_string, SHOWN_TIMES))
BITS = Data(Tag.BIT_STRING, b"\x80", 8)
ROWS = data.array(*(data.structure(time, Data(Tag.UNSIGNED, 8), *NUMBERS[:2]) for time in (*TIMES, data.NULL)))
REVERSED = Ways(offset_sign=OffsetSign.REVERSED)
COLUMNS = (profile.Column(CLOCK_TIME), profile.Column(Attribute.of(1, "0-0:96.10.1")), profile.Column(ENERGY))
SCALER = data.structure(Data(Tag.INTEGER, 3), Data(Tag.ENUM, 30))
SERVER_SIDE = (
    association.AssociationRequest(initiate.InitiateRequest(), int(Auth.LLS), ACCESS.password).to_bytes(),
    get.GetNormal(
        1, ENERGY, profile.between(MeterTime(0, Precision.SECOND), MeterTime(9, Precision.SECOND))
    ).to_bytes(),
    get.GetNext(1, 1).to_bytes(),
    association.RELEASE_REQUEST,
)
CLIENT_SIDE = (AARE, get.Got(1, ROWS).to_bytes(), get.Block(1, 1, False, b"abc").to_bytes(), bytes.fromhex("d80102"))


def pieces(octets: bytes) -> Iterator[bytes]:
    """The parts of an input that says of each how long it is, in one byte."""
    at = 0
    while at < len(octets):
        yield octets[at + 1 : at + 1 + octets[at]]
        at += 1 + octets[at]


def joined(*parts: bytes) -> bytes:
    """An input of these parts."""
    return b"".join(bytes((len(part),)) + part for part in parts)


def sealed(readings: Sequence[Reading], octets: bytes = b"") -> None:
    """What a meter sent goes under a seal as it is, or is refused by name; a costly seal for one input of eight."""
    if crc32(octets) % 8:
        return
    found = body.expand(body.encode(readings, [], bytes(32))).readings
    assert [each.values for each in found] == [each.values for each in readings]


def _answers(frames: Sequence[link.Frame]) -> list[Answer]:
    return [Answer(frame, samples.START_MS, 5, 6) for frame in frames]


def _read(frames: Sequence[link.Frame], octets: bytes) -> None:
    quality = samples.exchange(0).quality
    expected = Identity(Protocol.MBUS)
    found = mbus_reader.readings(_answers(frames), "heat", expected, samples.START_MS, quality, keep=False)
    assert identity(*(telegram.decode(frame) for frame in frames)).protocol is Protocol.MBUS
    sealed(found[:1], octets)
    assert sum(len(each.values) for each in found) == len(values(*(telegram.decode(frame) for frame in frames)))


def mbus_link(octets: bytes) -> None:
    """A stream in pieces, with a frame somewhere in it, then silence; and the same as one frame."""
    reader = link.FrameReader(frozenset(link.Kind))
    for part in (octets[:3], octets[3:40], octets[40:]):
        found = reader.feed(part)
        assert all(frame.octets in octets for frame in found)
        assert not found or reader.needs()
    reader.finish()
    assert not reader.inside
    frame = link.parse(octets)
    link.check_reply(frame, frame.address)


def mbus_records(octets: bytes) -> None:
    """The first byte is the CI; what follows is inside a right frame."""
    frame = link.parse(encoding.long_frame(1, (octets or b"\x78")[0], octets[1:250]))
    link.check_reply(frame, 1)
    _read([frame], octets)


def mbus_explained(octets: bytes) -> None:
    """As it is, written in hex; and, the first byte as CI, inside a right frame."""
    if octets[:1] in (b"\xe5", b"\x10", b"\x68"):
        frame = link.parse(explain.octets_of(octets.hex(" ")))
    else:
        frame = link.parse(encoding.long_frame(1, (octets or b"\x78")[0], octets[1:250]))
    assert b"".join(part.octets for part in layout.parts(frame, None)) == frame.octets
    found = explain.explain(frame)
    answer = telegram.decode(frame) if frame.kind is link.Kind.LONG else None
    assert b"".join(part.octets for part in layout.parts(frame, answer)) == frame.octets
    assert layout.lines(frame, answer)
    assert len(found.records) == (len(answer.records) if answer else 0)


def mbus_session(octets: bytes) -> None:
    """Each piece is what is on the line behind a question; what is empty or behind the last is silence."""
    _visited(ReadSession(1, SlaveState(), Timing()), octets)


def mbus_selected(octets: bytes) -> None:
    """The same for a meter that is selected."""
    _visited(ReadSession(select.selected(PLATE), SlaveState(), Timing()), octets)


def mbus_search(octets: bytes) -> None:
    """Each piece is what is on the line behind a question of a search; behind the last one everything is silent.

    One that begins with silence is put into a search for primary addresses.
    """
    said, held = pieces(octets), b""
    search: SecondarySearch | PrimarySearch = PrimarySearch(Timing(), len(octets) % 3 == 0)
    if octets[:1] != b"\0":
        search = SecondarySearch(Timing(), walk.Choices(letters=len(octets) % 2 > 0), most=100)
    for _ in range(STEPS):
        match step := search.next():
            case Send():
                held = next(said, b"")
            case Wait() if held:
                search.received(held[:31])
                held = held[31:]
            case Wait():
                search.timed_out()
            case Failed():
                raise step.error
            case None:
                search.words()
                assert len(set(search.found)) == len(search.found)
                return
    raise AssertionError("the search makes no progress")


def _visited(session: ReadSession, octets: bytes) -> None:
    said, held = pieces(octets), b""
    for _ in range(STEPS):
        match step := session.next():
            case Send():
                held = next(said, b"")
            case Wait() if held:
                session.received(held[:7])
                held = held[7:]
            case Wait():
                session.timed_out()
            case Failed():
                raise step.error
            case Done():
                return _read(step.telegrams, octets)
    raise AssertionError("the session makes no progress")


def answered(session: Session, replies: Iterator[bytes]) -> Data | None:
    """Drive a session until what was begun is done."""
    held = b""
    for _ in range(STEPS):
        match step := session.next():
            case dlms_session.Send():
                held = next(replies, b"")
            case dlms_session.Wait() if held:
                session.received(held[:19])
                held = held[19:]
            case dlms_session.Wait():
                session.timed_out()
            case dlms_session.Failed():
                raise step.error
            case dlms_session.Done():
                return step.data
    raise AssertionError("the session makes no progress")


def _visit(framing: Framing, replies: Iterator[bytes]) -> None:
    session = Session(ACCESS, framing)
    session.associate()
    try:
        answered(session, replies)
        session.get(ENERGY)
        found = answered(session, replies)
        assert found is None or isinstance(found, Data)
    finally:
        session.release()
        with suppress(MeterError):  # the visit has ended, well or not
            answered(session, replies)
        session.closed()


def dlms_wrapper_session(octets: bytes) -> None:
    """Each piece is an APDU in a right wrapper, or, where it begins with 00 01, a message as it is."""
    made = (each if each[:2] == b"\0\1" else Message(1, 16, each).to_bytes() for each in pieces(octets))
    _visit(Framing.WRAPPER, made)


def framed(part: bytes, to_meter: bool) -> bytes:
    """The first byte is the control field; segmented where the piece ends in FF."""
    ends = (hdlc.server_address(1, 17), hdlc.client_address(16))
    destination, source = ends if to_meter else ends[::-1]
    segmented = len(part) > 8 and part[-1] == 0xFF
    return Frame(destination, source, (part or b"\x63")[0], part[1:], segmented).to_bytes()


def dlms_hdlc_session(octets: bytes) -> None:
    """Each piece is control field and information in a frame whose check sequences hold."""
    _visit(Framing.HDLC, (framed(each, to_meter=False) for each in pieces(octets)))


class _Shown:
    """A server's objects: one profile, whatever is asked for."""

    def associated(self, client: int) -> None:
        """Nothing is latched."""

    def get(self, attribute: Attribute, selection: get.Selection | None, client: int) -> Data | get.AccessResult:
        """Long enough to take blocks."""
        return data.array(*[ROWS] * 8) if attribute == ENERGY else get.AccessResult.OBJECT_UNDEFINED


def dlms_server(octets: bytes) -> None:
    """The server half behind both carriers: it answers, or is silent; nobody is told more than the protocol says."""
    half = WrapperServer(Server(_Shown(), (ACCESS,), 128), 1)
    over_hdlc = HdlcServer(Server(_Shown(), (ACCESS,), 128), 1, 17, 40, window=WIDE.window_receive)
    over_hdlc.received(framed(bytes((hdlc.SNRM | POLL_FINAL,)) + WIDE.to_bytes(), to_meter=True))
    for n, part in enumerate(pieces(octets)):
        half.received(Message(16, 1, part).to_bytes())
        over_hdlc.received(framed(bytes((0x10 | (n % 8) << 1 | (n % 8) << 5,)) + part, to_meter=True))
        over_hdlc.received(framed(part, to_meter=True))
        over_hdlc.silence()
    half.received(octets)
    over_hdlc.received(octets)


def dlms_answer(octets: bytes) -> None:
    """An APDU of a meter, and the error that it may stand for."""
    get.invoke_of(octets)
    match found := answer_from_bytes(octets):
        case association.AssociationResponse():
            found.check()
        case get.Refused() | ExceptionResponse() | ConfirmedServiceError():
            raise found.error("answer")
        case get.Got():
            assert data.from_bytes(data.to_bytes(found.data)) == found.data
        case _:
            known = Released | get.Block | get.GotList | setting.Set | setting.BlockTaken | Acted | ActionRefused
            assert isinstance(found, known)


def dlms_request(octets: bytes) -> None:
    """An APDU of a client."""
    if octets[:1] == bytes((association.AARQ,)):
        association.AssociationRequest.from_bytes(octets)
    elif octets[:1] == b"\x01":
        initiate.InitiateRequest.from_bytes(octets)
    else:
        get.request_from_bytes(octets)


def dlms_frames(octets: bytes) -> None:
    """A stream in pieces, then silence; and the same as one frame without flags."""
    reader = FrameReader()
    for part in (octets[:5], octets[5:6], octets[6:]):
        reader.feed(part)
    reader.finish()
    hdlc.parse(octets.strip(b"\x7e"))


def dlms_frame(octets: bytes) -> None:
    """A frame whose length and check sequences hold: segmented or not, addresses and control, information."""
    header, information = octets[1:4], octets[4:2_000]
    size = 2 + len(header) + hdlc.CHECK + (len(information) + hdlc.CHECK if information else 0)
    whole = bytes((hdlc.FORMAT | octets[0] & hdlc.SEGMENTED if octets else 0 | size >> 8, size & 0xFF)) + header
    whole += hdlc.check_sequence(whole)
    if information:
        whole += information
        whole += hdlc.check_sequence(whole)
    hdlc.parse(whole)


def dlms_value(octets: bytes) -> None:
    """Data as a register, as a clock, as a text, as a scaler; and its value under a seal."""
    found = data.from_bytes(octets)
    assert data.from_bytes(data.to_bytes(found)) == found
    if found.tag in binary.FORMS:
        binary.shown(found)
    shown = [objects.value(ENERGY, found, ScalerUnit(3, "Wh")), objects.value(CLOCK_TIME, found)]
    objects.text_of(found)
    objects.time_of(shown[1])
    _sealed_row(None, None, shown)
    if found.tag is Tag.STRUCTURE:
        ScalerUnit.from_data(found)


def _sealed_row(time: MeterTime | None, status: int | None, shown: Sequence[Value]) -> None:
    made, meter = samples.exchange(0), Identity(Protocol.DLMS)
    sealed([Reading(meter, "supply", None, How.PROFILE, None, time, made, status, Status.NONE, tuple(shown))])


def dlms_rows(octets: bytes) -> None:
    """Rows of a profile with a clock, a status word and two registers; each is sealed or refused by name."""
    captured = (*COLUMNS, profile.Column(Attribute.of(4, "1-0:2.8.0")))
    whole, buffer = data.from_bytes(octets), profile.buffer_of(bytes(6))
    turned = REVERSED.turned(buffer, whole, captured)
    assert REVERSED.turned(buffer, turned, captured) == whole
    for row in profile.rows(data.from_bytes(octets), captured, {ENERGY: ScalerUnit(3, "Wh")}, 900)[:4]:
        str(row.time)
        assert row.utc_ms is None or row.time is not None
        _sealed_row(row.time, row.status, row.values)
    for row in profile.rows(data.from_bytes(octets), captured, {ENERGY: ScalerUnit(3, "Wh")}, 900, True):
        assert row.nulls in {(), *((one, two) for one in (True, False) for two in (True, False))}


def dlms_columns(octets: bytes) -> None:
    """What a profile captures, and a row of it."""
    found = profile.columns(data.from_bytes(octets))
    cells = (TIMES[1] if each.is_clock else Data(Tag.UNSIGNED, 5) for each in found)
    for row in profile.rows(data.array(data.structure(*cells)), found, {}, 2**32 - 1):
        _sealed_row(row.time, row.status, row.values)


def dlms_clock(octets: bytes) -> None:
    """A date-time, and back."""
    found = clock.from_bytes(octets)
    str(found.time)
    assert found.invalid | found.doubtful in {True, False}
    if found.time is not None:
        clock.utc_ms(found.time)
        assert clock.from_bytes(clock.to_bytes(found.time)).time is not None


def modbus_answer(octets: bytes) -> None:
    """What came behind a question; what is taken bears the whole question."""
    question = adu.Question(1, "input", 52, 2)
    adu.foreign(octets)
    found = adu.judge(question, 7, octets)
    assert found is None or (found.octets[:9] == ANSWER[:9] and len(found.words) == 4)


def modbus_line(octets: bytes) -> None:
    """What came on an RTU line behind a question; what is taken bears the whole question, and silence has a name."""
    question = adu.Question(1, "input", 52, 2)
    rtu.spoilt(question, octets)
    found = rtu.judge(question, octets)
    if found is None:
        raise rtu.missing(question, octets)
    assert found.octets[:3] == b"\x01\x04\x04"
    assert crc.holds(found.octets)


def modbus_torn(octets: bytes) -> None:
    """Two answers with a counter that may be torn: the second is believed only where it follows from the first."""
    kinds = (("uint32", "cdab"), ("mod10k64", "ghefcdab"), ("bcd32", "abcd"), ("float64", "abcdefgh"))
    kind, order = kinds[crc32(octets) % len(kinds)]
    register = RtuRegister("input", 0, "it", kind, order, torn=True)  # type: ignore[arg-type]
    (span,) = plan([register])
    size = 2 * span.count
    before, after = octets[:size].ljust(size, b"\0"), octets[size : 2 * size].ljust(size, b"\0")
    assert torn.may_be(span)
    assert torn.doubtful(span, before, after) in (None, register)
    assert torn.doubtful(span, after, after) is None


def modbus_registers(octets: bytes) -> None:
    """Registers of a model in right frames: its identity, and its values under a seal."""
    model = MODELS[crc32(octets) % len(MODELS)]
    shown: list[Value] = []
    for span in plan(model.registers, model.largest_block, model.largest_gap):
        words = (octets * (1 + 2 * span.count // max(1, len(octets))) + bytes(2 * span.count))[: 2 * span.count]
        head = struct.pack(">HHHBBB", 7, 0, 3 + len(words), 1, 4, len(words))
        found = adu.judge(adu.Question(1, "input", span.address, span.count), 7, head + words)
        assert found is not None
        shown += modbus_values.values(span, found.words, 1)
    assert all(isinstance(each.number, Raw) == (each.state is State.INVALID) for each in shown)
    made = modbus_reader.readings(Identity(Protocol.MODBUS), "main", samples.START_MS, samples.exchange(0), shown)
    sealed(made, octets[1:])
    serial = octets[: 2 * model.serial.words].ljust(2 * model.serial.words, b"\0") if model.serial else None
    code = octets[-2:].rjust(2, b"\0") if model.code else None
    meter = modbus_values.identity(model, serial, code)
    modbus_values.check_identity(meter, meter, "main")
    assert meter.fabrication is None or (meter.fabrication.isprintable() and meter.fabrication.strip())


WIDE = Parameters(512, 512, 7, 7)
HDLC_REPLIES = (
    bytes((hdlc.UA | POLL_FINAL,)) + Parameters().to_bytes(),
    b"\x30\xe6\xe7\x00" + AARE,
    b"\x52\xe6\xe7\x00" + get.Got(1, TIMES[0]).to_bytes(),
    b"\x74\xe6\xe7\x00\x63\x00",
    bytes((hdlc.UA | POLL_FINAL,)),
)
SEGMENTS = (
    b"\x40\xe6\xe7\x00" + get.Got(1, ROWS).to_bytes()[:40] + b"\xff",
    b"\x52" + get.Got(1, ROWS).to_bytes()[41:],
)
FLOAT64 = Data(Tag.FLOAT64, bytes.fromhex("406cd00000000000"))
COMPACT = (
    Data(Tag.COMPACT_ARRAY, tuple(data.structure(time, Data(Tag.UNSIGNED, 8), *NUMBERS[:2]) for time in TIMES)),
    Data(Tag.COMPACT_ARRAY, (data.structure(data.array(BITS, BITS), data.NULL, data.octet_string(b"ab"), FLOAT64),)),
)
DATA = tuple(map(data.to_bytes, (ROWS, SCALER, BITS, *CELLS, data.structure(*CELLS), FLOAT64, *COMPACT)))
_MBUS_BODIES = (*(b"\x72" + frame[7:-2] for frame in FRAMES), *(b"\x78" + each for each in CONSTRUCTED))

TARGETS = (
    Target("mbus-link", (*FRAMES, b"\xe5", bytes.fromhex("1008010916")), mbus_link, errors=MeterError),
    Target(
        "mbus-records",
        (*_MBUS_BODIES, bytes.fromhex("7a00000000") + CONSTRUCTED[0], b"\x70\x08", FIXED),
        mbus_records,
        work=SEALED,
    ),
    Target(
        "mbus-explained",
        (*FRAMES, b"\xe5", req_ud2(1, True), *_MBUS_BODIES, FIXED),
        mbus_explained,
        work=EXPLAINED,
    ),
    Target(
        "mbus-session",
        (joined(b"\xe5", FRAMES[0]), joined(b"", b"\xe5", FRAMES[0], FRAMES[1])),
        mbus_session,
        work=SEALED,
    ),
    Target(
        "mbus-selected",
        (joined(b"\xe5", b"\xe5", b"\xe5", FRAMES[0], b"\xe5"), joined(b"\xe5", b"", b"\xe5", b"\xe5", *FRAMES[::-1])),
        mbus_selected,
        work=SEALED,
    ),
    Target(
        "mbus-search",
        (
            joined(b"", b""),
            joined(*(b"\xe5", FRAMES[0]) * 3),
            joined(*(b"\xe5", FRAMES[0][:9] + FRAMES[1]) * 4, b"\xe5\xe5"),
            joined(*(b"\xe5", FRAMES[2], b"\x55") * 40),
            joined(b"", b"", b"\xe5", FRAMES[0]),
        ),
        mbus_search,
        errors=MeterError,
        work=Work(400_000, 400),
        memory=4 * MIB,
    ),
    Target("dlms-frames", tuple(framed(each, to_meter=False) for each in HDLC_REPLIES), dlms_frames, errors=MeterError),
    Target("dlms-frame", (bytes.fromhex("00032193"), bytes.fromhex("08032152e6e700")), dlms_frame),
    Target("dlms-parameters", (Parameters().to_bytes(), Parameters(512, 300).to_bytes()), Parameters.from_bytes),
    Target("dlms-wrapper", (Message(1, 16, b"abc").to_bytes() * 2,), lambda octets: MessageReader().feed(octets)),
    Target(
        "dlms-session-hdlc",
        (
            joined(*HDLC_REPLIES),
            joined(*HDLC_REPLIES[:2], *SEGMENTS),
            joined(bytes((hdlc.UA | POLL_FINAL,)) + WIDE.to_bytes(), HDLC_REPLIES[1], *SEGMENTS[::-1]),
        ),
        dlms_hdlc_session,
        errors=MeterError,
    ),
    Target(
        "dlms-session-wrapper", (joined(AARE, CLIENT_SIDE[1], b"\x63\x00"),), dlms_wrapper_session, errors=MeterError
    ),
    Target("dlms-answer", (*CLIENT_SIDE, bytes.fromhex("0e060200"), b"\x63\x03\x80\x01\x00"), dlms_answer),
    Target("dlms-request", (*SERVER_SIDE[:3], initiate.InitiateRequest().to_bytes()), dlms_request, errors=MeterError),
    Target(
        "dlms-server",
        (joined(*SERVER_SIDE), joined(*SERVER_SIDE[::-1])),
        dlms_server,
        work=Work(20_000, 400),
        only_values=True,
    ),
    Target("dlms-value", DATA, dlms_value, work=SEALED),
    Target("dlms-clock", (clock.to_bytes(MeterTime(900, Precision.SECOND, True, 60)),), dlms_clock, errors=MeterError),
    Target(
        "dlms-columns", (data.to_bytes(data.array(*(each.to_data() for each in COLUMNS))),), dlms_columns, work=SEALED
    ),
    Target("dlms-rows", (data.to_bytes(ROWS), data.to_bytes(COMPACT[0])), dlms_rows, work=SEALED),
    Target(
        "modbus-answer",
        (ANSWER, bytes.fromhex("000700000003018402")),
        modbus_answer,
    ),
    Target(
        "modbus-line",
        (
            bytes.fromhex("0104040001e240") + crc.crc(bytes.fromhex("0104040001e240")),
            joined(bytes.fromhex("010400340002"), b"\x01\x84\x02\xc2\xc1", b"\x02\x03\x02\x00\x01"),
        ),
        modbus_line,
        errors=MeterError,
        # heard three times; at every byte a frame of up to 255 bytes may begin, whose check has two lines for each
        work=Work(2_000, 3 * 2 * 255),
    ),
    Target("modbus-torn", (bytes(8), bytes.fromhex("0001ffff00020000")), modbus_torn, only_values=True),
    Target(
        "modbus-registers",
        (b"12345678901234\x01\x54", bytes(range(200)), b"\xff\xff\x7f\xff\x01\x54"),
        modbus_registers,
        work=SEALED,
    ),
)
