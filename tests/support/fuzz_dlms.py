"""Fuzz targets: what DLMS/COSEM meters send unasked or in pieces, services beside GET, and what explains it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from fuzz_meters import (
    ACCESS,
    CLIENT_SIDE,
    COLUMNS,
    DATA,
    ENERGY,
    HDLC_REPLIES,
    NUMBERS,
    ROWS,
    SEGMENTS,
    SERVER_SIDE,
    SHOWN_TIMES,
    TIMES,
    answered,
    framed,
    joined,
    pieces,
)
from fuzzing import Target, Work

from protocols.dlms import (
    action,
    association,
    blocks,
    data,
    get,
    initiate,
    layout,
    listing,
    naming,
    notification,
    profile,
    table,
)
from protocols.dlms import set as setting
from protocols.dlms.access import Framing
from protocols.dlms.action import ActedBlock, ActionNext, ActionNormal, ActionResult, ActionTaken, Method
from protocols.dlms.apdu import answer_from_bytes
from protocols.dlms.data import Data
from protocols.dlms.datablock import blocks_of
from protocols.dlms.faults import WrongBlock
from protocols.dlms.get import AccessResult
from protocols.dlms.heard import Heard
from protocols.dlms.objects import CLOCK_TIME, Attribute
from protocols.dlms.server import Server, WrapperServer
from protocols.dlms.services import BlockSender
from protocols.dlms.session import Session
from protocols.dlms.table import Table
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError


def dlms_notification(octets: bytes) -> None:
    """A push or an event; what holds is encoded again and holds again."""
    if octets[:1] == bytes((notification.EVENT_NOTIFICATION,)):
        event = notification.EventNotification.from_bytes(octets)
        assert notification.EventNotification.from_bytes(event.to_bytes()) == event
        return
    found = notification.DataNotification.from_bytes(octets)
    assert found.number < 1 << 24
    assert found.confirmed in {True, False}
    again = notification.DataNotification.from_bytes(found.to_bytes())
    assert (again.body, again.moment) == (found.body, found.moment)


def dlms_explained(octets: bytes) -> None:
    """Every byte is in one part, in order, whatever is wrong; the explanation and the codec agree on what holds."""
    assert layout.is_dlms(octets) or octets[:1] not in {b"\x7e", b"\x0f", b"\xc4"}
    found = layout.explained(octets)
    assert b"".join(part.octets for part in found.sections[0].parts) == octets
    assert layout.lines(found)
    json.dumps(layout.as_json(found))
    decode: dict[tuple[str, int], Callable[[bytes], object]] = {
        ("none", 0x0F): notification.DataNotification.from_bytes,
        ("none", 0xC2): notification.EventNotification.from_bytes,
    }
    if found.carrier == "data":
        decode["data", octets[0]] = data.from_bytes
    if (found.carrier, octets[0]) in decode:
        try:
            decode[found.carrier, octets[0]](octets)
        except MeterError:
            assert found.error is not None
        else:
            assert found.error is None
    if found.error is not None:
        raise found.error


def dlms_listing(octets: bytes) -> None:
    """An object list, encoded again."""
    found = listing.objects(data.from_bytes(octets))
    assert all(naming.name(each.class_id, each.name) for each in found)
    with suppress(OverflowError):  # a number that fits no unsigned: it came in another type
        assert listing.objects(data.array(*(each.to_data() for each in found))) == found


def dlms_heard(octets: bytes) -> None:
    """What came where a meter was looked for, in words; and what it is where it is no meter."""
    for framing in Framing:
        found = Heard.of(framing, [(True, octets[:8]), (False, octets), (False, octets[:3])])
        assert found.shown()
        assert isinstance(found.stranger(), str)
        assert not (found.linked and found.other_framing)
        assert found.answered <= bool(found.apdus)


def dlms_table(octets: bytes) -> None:
    """By columns and value by value: the same data, or both refuse; the same rows where it has columns."""
    found = table.value(octets)
    whole = data.from_bytes(octets)
    assert (found.data() if isinstance(found, Table) else found) == whole
    try:
        rows = profile.rows(found, COLUMNS, {}, 900)
    except MeterError:
        with pytest.raises(MeterError):
            profile.rows(whole, COLUMNS, {}, 900)
        return
    assert tuple(rows) == profile.rows(whole, COLUMNS, {}, 900)
    if isinstance(rows, profile.TableRows):
        assert list(rows.times()) == [row.time for row in rows]


def dlms_blocks(octets: bytes) -> None:
    """Octets in general blocks come back; and general blocks, one after the other, of one transfer."""
    joiner = blocks.Joiner()
    for block in blocks.split(octets, 1 + len(octets) // 8, 3):
        joiner.take(block)
    assert (joiner.whole or b"") == octets
    joiner = blocks.Joiner()
    for each in pieces(octets):
        block = blocks.GeneralBlock.from_bytes(each)
        assert blocks.GeneralBlock.from_bytes(block.to_bytes()) == block
        with suppress(WrongBlock):
            joiner.take(block)
        blocks.GeneralBlock.from_bytes(joiner.acknowledgement().to_bytes())


def dlms_services_answer(octets: bytes) -> None:
    """An answer to a list or to SET, encoded again; the other readers of it agree."""
    found = answer_from_bytes(octets)
    if isinstance(found, action.ActedBlock):
        action.joined(found.block.octets, found.invoke)
    if not isinstance(found, get.GotList | setting.Set | setting.SetResults | setting.BlockTaken | get.Got):
        return
    assert answer_from_bytes(found.to_bytes()) == found
    if isinstance(found, get.GotList):
        assert get.results_from_bytes(get.results_bytes(found.results)) == found.results
    elif isinstance(found, setting.Set):
        raise found.error("answer")


def dlms_joined(octets: bytes) -> None:
    """What blocks hold: of an ACTION response in any way, of SET with list."""
    with suppress(MeterError):
        values = setting.values_from_bytes(octets)
        assert setting.values_from_bytes(setting.values_bytes(values)) == values
    action.joined(octets, 1)


def dlms_services_request(octets: bytes) -> None:
    """A GET with list or a SET, encoded again; a value as SET sends it."""
    if octets[:1] == bytes((setting.REQUEST,)):
        asked = setting.request_from_bytes(octets)
        assert setting.request_from_bytes(asked.to_bytes()) == asked
        if isinstance(asked, setting.SetNormal) and asked.selection is None:
            pieces_of = setting.split(asked.attribute, asked.value, asked.invoke, 64)
            assert all(setting.request_from_bytes(each) for each in pieces_of)
        if isinstance(asked, setting.SetList):
            pieces_of = setting.split_list(asked.attributes, asked.values, asked.invoke, 64)
            assert all(setting.request_from_bytes(each) for each in pieces_of)
            assert setting.values_from_bytes(setting.values_bytes(asked.values)) == asked.values
        return
    found = get.request_from_bytes(octets)
    again = get.request_from_bytes(found.to_bytes())
    assert again == found


def dlms_services_session(octets: bytes) -> None:
    """Each piece is an APDU in a right wrapper: behind an association list, SET, GET; or SET with list, and actions."""
    replies = (Message(1, 16, each).to_bytes() for each in pieces(octets))
    session = Session(ACCESS, Framing.WRAPPER)
    session.associate()
    try:
        answered(session, replies)
        session.get_list((ENERGY, TIME))
        answered(session, replies)
        session.set(TEXT, data.octet_string(bytes(200)))
        answered(session, replies)
        session.get(ENERGY)
        answered(session, replies)
        session.set_list((TEXT, TIME), (data.octet_string(bytes(100)), TIMES[0]))
        answered(session, replies)
        session.act(SHIFT, data.octet_string(bytes(100)))
        answered(session, replies)
    finally:
        session.release()
        with suppress(MeterError):
            answered(session, replies)
        session.closed()


SHIFT = Method(8, CLOCK_TIME.name, 6)


class _Shown:
    """A server's objects: one long one, one that can be set."""

    def associated(self, client: int) -> None:
        """Nothing is latched."""

    def get(self, attribute: Attribute, selection: get.Selection | None, client: int) -> Data | AccessResult:
        """Long enough to take blocks."""
        return data.array(*[ROWS] * 8) if attribute == ENERGY else AccessResult.OBJECT_UNDEFINED

    def set(self, attribute: Attribute, value: Data, client: int) -> AccessResult:
        """Whatever it is."""
        return AccessResult.SUCCESS

    def act(self, method: Method, parameter: Data | None, client: int) -> ActionResult | Data:
        """Where it has a parameter: it is given back, with what makes it long."""
        return ActionResult.OBJECT_UNAVAILABLE if parameter is None else data.array(parameter, *[ROWS] * 8)


def dlms_services_server(octets: bytes) -> None:
    """The server half with everything it can: it answers, or is silent."""
    shown = _Shown()
    halves = [
        WrapperServer(
            Server(_Shown(), (ACCESS,), 128, settable=_Shown(), sender=BlockSender(60, 3), acting=_Shown()), 1
        ),
        WrapperServer(Server(shown, (ACCESS,), 128, settable=shown), 1),
    ]
    for each in pieces(octets):
        for half in halves:
            half.received(Message(16, 1, each).to_bytes())


TEXT, TIME = Attribute.of(1, "0-0:96.2.0"), Attribute.of(8, "0-0:1.0.0")
LISTED = (
    listing.Listed(3, 0, ENERGY.name, (listing.Right(2, 1), listing.Right(3, 1)), (listing.Right(1, 1),)),
    listing.Listed(8, 0, TIME.name),
)
LIST = get.GotList(1, (NUMBERS[0], 4, ROWS))
SETTING = setting.split(TEXT, data.octet_string(bytes(200)), 2, 64)
TAKEN = [setting.BlockTaken(2, n).to_bytes() for n in range(1, len(SETTING))]
TWO = get.GotList(1, (NUMBERS[0], TIMES[0])).to_bytes()
SETTING_LIST = setting.split_list((TEXT, TIME), (data.octet_string(bytes(100)), TIMES[0]), 4, 64)
ACTING_LONG = action.split(SHIFT, data.octet_string(bytes(100)), 5, 64)
RETURNED = (ActedBlock(5, each).to_bytes() for each in blocks_of(data.to_bytes(ROWS), 40, 0))
LISTED_AND_ACTED = (
    *(setting.BlockTaken(4, n).to_bytes() for n in range(1, len(SETTING_LIST))),
    setting.SetResults(4, (0, 3), len(SETTING_LIST)).to_bytes(),
    *(ActionTaken(5, n).to_bytes() for n in range(1, len(ACTING_LONG))),
    *RETURNED,
)
SMALL_AARE = association.AssociationResponse(
    initiate=initiate.InitiateResponse(initiate.OURS | initiate.ACTING, 64)
).to_bytes()

UNIFORM = tuple(
    data.to_bytes(data.array(*(data.structure(time, data.Data(data.Tag.UNSIGNED, 8), NUMBERS[0]) for time in times)))
    for times in (TIMES, TIMES * 4)
)

TARGETS = (
    Target(
        "dlms-joined",
        (
            *(lead + data.to_bytes(ROWS) for lead in (b"", b"\x00", b"\x00\x01\x00")),
            setting.values_bytes((ROWS, TIMES[0])),
        ),
        dlms_joined,
        work=Work(4_000, 80),
        errors=MeterError,
    ),
    Target(
        "dlms-services-answer",
        (
            *(LIST.to_bytes(), setting.Set(1, 0).to_bytes(), setting.Set(1, 3, 4).to_bytes(), TAKEN[0], CLIENT_SIDE[1]),
            *(
                LISTED_AND_ACTED[-1],
                setting.SetResults(1, (0, 3)).to_bytes(),
                setting.SetResults(1, (0, 3), 2).to_bytes(),
            ),
        ),
        dlms_services_answer,
    ),
    Target(
        "dlms-services-request",
        (
            *(get.GetList(1, (ENERGY, TIME)).to_bytes(), *SETTING[:2], setting.SetNormal(1, TEXT, ROWS).to_bytes()),
            *(SETTING_LIST[0], setting.SetList(1, (TEXT, TIME), (ROWS, TIMES[0])).to_bytes()),
        ),
        dlms_services_request,
        work=Work(4_000, 80),
    ),
    Target(
        "dlms-services-session",
        (
            joined(SMALL_AARE, TWO, *TAKEN, setting.Set(2, 0, len(SETTING)).to_bytes(), get.Got(3, ROWS).to_bytes()),
            joined(
                *(SMALL_AARE, TWO, *TAKEN, setting.Set(2, 0, len(SETTING)).to_bytes(), get.Got(3, ROWS).to_bytes()),
                *LISTED_AND_ACTED,
            ),
            joined(
                SMALL_AARE,
                TWO,
                *TAKEN,
                setting.Set(2, 0, len(SETTING)).to_bytes(),
                *(each.to_bytes() for each in blocks.split(get.Got(3, ROWS).to_bytes(), 60, 1)),
            ),
        ),
        dlms_services_session,
        work=Work(20_000, 100),
        errors=MeterError,
    ),
    Target(
        "dlms-services-server",
        (
            joined(SERVER_SIDE[0], get.GetList(1, (ENERGY, TIME)).to_bytes(), *SETTING, SERVER_SIDE[3]),
            joined(SERVER_SIDE[0], *(ActionNormal(1, SHIFT, each).to_bytes() for each in (None, ROWS))),
            joined(
                SERVER_SIDE[0], *SETTING_LIST, *ACTING_LONG, ActionNext(5, 1).to_bytes(), ActionNext(5, 2).to_bytes()
            ),
            joined(
                SERVER_SIDE[0],
                get.GetNormal(1, ENERGY).to_bytes(),
                blocks.GeneralBlock(True, False, 4, 1, 3, b"").to_bytes(),
                blocks.GeneralBlock(True, False, 4, 2, 5, b"").to_bytes(),
            ),
        ),
        dlms_services_server,
        work=Work(40_000, 400),
        only_values=True,
    ),
    Target(
        "dlms-notification",
        (
            notification.DataNotification(0x4000_0001, SHOWN_TIMES[0], ROWS).to_bytes(),
            notification.EventNotification(SHOWN_TIMES[0], ENERGY, NUMBERS[0]).to_bytes(),
            bytes.fromhex("0f000000010002021601010102020001 00002a0000ff02 0903414243".replace(" ", "")),
        ),
        dlms_notification,
        work=Work(4_000, 80),
    ),
    Target(
        "dlms-explained",
        (
            *SERVER_SIDE,
            *CLIENT_SIDE,
            *DATA,
            notification.DataNotification(0x4000_0001, SHOWN_TIMES[0], ROWS).to_bytes(),
            bytes.fromhex("db084c475a67735dd3a912300000000011223344112233441122334411"),
        ),
        dlms_explained,
        work=Work(20_000, 800),
        errors=MeterError,
    ),
    Target(
        "dlms-carried",
        (
            framed(b"\x52\xe6\xe7\x00" + get.Got(1, TIMES[0]).to_bytes(), to_meter=False),
            b"".join(framed(each, to_meter=False) for each in SEGMENTS[1:] + HDLC_REPLIES[:1]),
            Message(1, 16, get.Got(1, ROWS).to_bytes()).to_bytes(),
            bytes.fromhex("680b0b6853ff100167c401c1001105 a516".replace(" ", "")),
            b"".join(Message(1, 16, each.to_bytes()).to_bytes() for each in blocks.split(CLIENT_SIDE[1], 40, 3)),
        ),
        dlms_explained,
        work=Work(20_000, 800),
        errors=MeterError,
    ),
    Target("dlms-table", (*UNIFORM, *DATA), dlms_table, work=Work(20_000, 400)),
    Target(
        "dlms-heard",
        (
            bytes.fromhex("7ea00a030221930ac17e7ea00a030221730ac17e"),
            b"\x00\x01\x00\x01\x00\x10\x00\x04" + bytes.fromhex("d8010200"),
            b"SSH-2.0-OpenSSH_9.2\r\n",
            bytes.fromhex("680808680801789a00f4b516"),
        ),
        dlms_heard,
        only_values=True,
        work=Work(20_000, 400),
    ),
    Target("dlms-listing", (data.to_bytes(data.array(*(each.to_data() for each in LISTED))),), dlms_listing),
    Target(
        "dlms-blocks",
        (joined(*(each.to_bytes() for each in blocks.split(get.Got(1, ROWS).to_bytes(), 40, 3))),),
        dlms_blocks,
    ),
)
