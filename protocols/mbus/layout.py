"""A telegram byte by byte: which bytes stand where, and what each of them is, in words.

Every byte of the frame is in exactly one part, in order. Also of a telegram that does not decode as far as it can be
followed: the link layer, then what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocols.errors import MeterError
from protocols.mbus import data, dif, explain, fixed, link, telegram, vif, vife
from protocols.mbus.explain import ShownRecord, ShownTelegram
from protocols.mbus.link import Frame
from protocols.mbus.media import MEDIA
from protocols.mbus.records import Record
from protocols.mbus.telegram import Telegram

BODY = 7  # where what follows CI begins in a long frame: 68 L L 68 C A CI
BYTES_IN_LINE = 12
CODINGS = {
    0x0: "no data",
    0x1: "8-bit integer",
    0x2: "16-bit integer",
    0x3: "24-bit integer",
    0x4: "32-bit integer",
    0x5: "32-bit real",
    0x6: "48-bit integer",
    0x7: "64-bit integer",
    0x8: "selection for readout",
    0x9: "2 digits BCD",
    0xA: "4 digits BCD",
    0xB: "6 digits BCD",
    0xC: "8 digits BCD",
    0xD: "variable length",
    0xE: "12 digits BCD",
}
CONTROLS = {
    0x40: "SND_NKE: reset the link",
    0x53: "SND_UD: data for the meter",
    0x73: "SND_UD: data for the meter",
    0x5A: "REQ_UD1: ask for alarms",
    0x7A: "REQ_UD1: ask for alarms",
    0x5B: "REQ_UD2: ask for data",
    0x7B: "REQ_UD2: ask for data",
    **dict.fromkeys(link.RSP_UD, "RSP_UD: data of the meter"),
}
KINDS = {
    telegram.LONG_LOW: "variable data, long header, low byte first",
    telegram.LONG_HIGH: "variable data, long header, high byte first",
    telegram.SHORT_HEADER: "variable data, short header",
    telegram.NO_HEADER: "variable data, no header",
    fixed.LOW: "fixed data, low byte first",
    fixed.HIGH: "fixed data, high byte first",
    telegram.APPLICATION_ERROR: "application error",
    telegram.ALARM: "alarm",
}
Words = tuple[int, str]  # how many bytes, and what they are


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a frame: where they begin, themselves, and what they are."""

    offset: int
    octets: bytes
    words: str


def parts(frame: Frame, answer: Telegram | None) -> list[Part]:
    """A frame in its parts; `answer` is what `telegram.decode` made of it, None where it made nothing."""
    found: list[Part] = []
    at = 0
    for size, words in _frame(frame, answer):
        if size:
            found.append(Part(at, frame.octets[at : at + size], words))
        at += size
    return found


def lines(frame: Frame, answer: Telegram | None) -> list[str]:
    """A frame for people: who answered, the records, and every byte."""
    if answer is None:
        return list(_table(parts(frame, None)))
    found = explain.shown(frame, answer)
    head = [_summary(found), ""]
    records = [_record_line(number, each) for number, each in enumerate(found.records, 1)]
    tail = ["partial: the last record does not end"] if found.partial else []
    tail += ["more records follow in the next telegram"] if found.more else []
    tail += [f"manufacturer data: {found.manufacturer_data}"] if found.manufacturer_data else []
    return [*head, *records, *tail, "", *_table(parts(frame, answer))]


def _summary(found: ShownTelegram) -> str:
    version = "" if found.version is None else f" version {found.version}"
    medium = "" if found.medium is None else f", medium {found.medium:02x} ({found.medium_name})"
    access = "" if found.access is None else f", access number {found.access}"
    status = "" if found.status_raw is None else f", status {found.status_raw:02x} ({_status(found)})"
    who = " ".join(filter(None, (found.manufacturer, found.id))) or "a meter that does not name itself"
    return f"{who}{version}{medium}{access}{status}, address {found.address}"


def _status(found: ShownTelegram) -> str:
    return ", ".join(found.status) or "nothing to report"


def _record_line(number: int, record: ShownRecord) -> str:
    value = "-" if record.value is None else f"{record.value} {record.unit}".rstrip()
    place = [f"storage {record.storage}" if record.storage else "", f"tariff {record.tariff}" if record.tariff else ""]
    place += [f"subunit {record.subunit}" if record.subunit else ""]
    said = ", ".join(filter(None, [*place, *record.qualifiers]))
    return (
        f"{number:4}  {record.quantity:<28}  {value:>22}  {record.state:<11}  {record.obis or '':<14}  {said}".rstrip()
    )


def _table(found: list[Part]) -> Iterator[str]:
    yield "offset  bytes" + " " * (3 * BYTES_IN_LINE - 4) + "what they are"
    for part in found:
        for at in range(0, len(part.octets), BYTES_IN_LINE):
            shown = part.octets[at : at + BYTES_IN_LINE].hex(" ")
            yield f"{part.offset + at:6}  {shown:<{3 * BYTES_IN_LINE}} {part.words if not at else ''}".rstrip()


def _frame(frame: Frame, answer: Telegram | None) -> Iterator[Words]:
    if frame.kind is link.Kind.ACK:
        yield 1, "acknowledgement: the meter has understood"
        return
    if frame.kind is link.Kind.LONG:
        yield 1, "start of a long frame"
        yield 2, f"length {frame.octets[1]}, twice"
        yield 1, "start, again"
    else:
        yield 1, "start of a short frame"
    yield 1, f"control field, {CONTROLS.get(frame.control, 'not used by M-Bus')}"
    yield 1, f"address {frame.address}"
    if frame.kind is link.Kind.LONG:
        yield 1, f"CI, {KINDS.get(frame.ci, 'not supported')}"
        yield from _body(frame, answer)
    yield 1, "checksum"
    yield 1, "stop"


def _body(frame: Frame, answer: Telegram | None) -> Iterator[Words]:
    if answer is None:
        yield len(frame.body), "what follows, not decoded"
    elif frame.ci in telegram.FIXED:
        yield from _fixed(frame, answer)
    else:
        yield from _header(frame, answer)
        yield from _records(frame, answer)


def _header(frame: Frame, answer: Telegram) -> Iterator[Words]:
    size, found = telegram.header_size(frame), explain.shown(frame, answer)
    if size == telegram.LONG_SIZE:
        yield 4, f"identification {found.id}"
        yield 2, f"manufacturer {found.manufacturer}"
        yield 1, f"version {found.version}"
        yield 1, f"medium {found.medium_name}"
    if size:
        yield 1, f"access number {found.access}"
        yield 1, f"status, {_status(found)}"
        yield 2, "signature or configuration word"


def _fixed(frame: Frame, answer: Telegram) -> Iterator[Words]:
    found = explain.shown(frame, answer)
    yield 4, f"identification {found.id}"
    yield 1, f"access number {found.access}"
    yield 1, f"status, {_status(found)}"
    named = "reserved" if found.medium is None else MEDIA[found.medium]
    for number, octet in enumerate(frame.body[6:8], 1):
        code = octet & fixed.UNIT
        meaning = fixed.meaning_of(code, frame.body[6] & fixed.UNIT)
        yield 1, f"medium {named}, unit of counter {number}: {_scale(meaning)}"
    for number, record in enumerate(found.records, 1):
        yield fixed.COUNTER_SIZE, f"counter {number}: {_data(record)}"
    at = fixed.HEADER_SIZE + fixed.COUNTER_SIZE * len(found.records)
    yield len(frame.body) - at, "a counter that does not end" if answer.partial else "manufacturer data"


def _records(frame: Frame, answer: Telegram) -> Iterator[Words]:
    base = at = telegram.header_size(frame)
    for record, words in zip(answer.records, explain.shown(frame, answer).records, strict=True):
        yield from _fillers(base + record.start - at)
        yield from _record(frame.body, base + record.start, record, words)
        at = base + record.start + len(explain.raw(frame, record))
    yield from _rest(frame.body, at, answer)


def _fillers(count: int) -> Iterator[Words]:
    yield from [(1, "filler")] * count


def _record(body: bytes, start: int, record: Record, words: ShownRecord) -> Iterator[Words]:
    first, difes = body[start], explain.dib_size(body, start) - 1
    more = ", more follows" if difes else ""
    storage = ", storage bit 0 set" if first & 0x40 else ""
    yield 1, f"DIF, {CODINGS[first & 0x0F]}, {words.function}{storage}{more}"
    yield difes, f"DIFE, storage {words.storage}, tariff {words.tariff}, subunit {words.subunit}"
    found, *chain = vif.pieces(record.vib)
    alone = vif.meaning_of(_last(found))
    yield len(found), f"VIF, {alone.quantity or 'reserved'}{_scale(alone, ', ')}"
    for piece in chain:
        yield len(piece), f"VIFE, {_vife(piece)}"
    if record.info.coding is dif.Coding.VARIABLE:
        yield 1, f"LVAR, {len(record.octets)} bytes of {_variable(record.lvar)}"
    yield len(record.octets), f"data, {_data(words)}"


def _last(piece: bytes) -> bytes:
    """The VIF as it would stand without a VIFE."""
    if piece[0] & ~vif.EXTENSION in (vif.PLAIN_TEXT, vif.MANUFACTURER):
        return piece
    return piece[:-1] + bytes([piece[-1] & ~vif.EXTENSION])


def _vife(piece: bytes) -> str:
    found = vife.find(piece)
    if found is None:
        return "reserved"
    match found.effect:
        case vife.Effect.FACTOR:
            return f"times 10^{found.exponent}"
        case vife.Effect.ADDED:
            return f"10^{found.exponent} of the unit to be added"
        case vife.Effect.UNSIGNED:
            return "the number has no sign"
    return f"{found.words}, {found.unit}" if found.effect is vife.Effect.DURATION else found.words


def _scale(meaning: vif.Meaning, before: str = "") -> str:
    """Unit and power of ten as a technician reads them."""
    power = f"10^{meaning.exponent} " if meaning.exponent else ""
    shown = f"{power}{meaning.unit}".strip()
    return f"{before}{shown}" if shown else "" if before else meaning.quantity or "reserved"


def _variable(lvar: int) -> str:
    if lvar >= dif.BINARY:
        return "binary data"
    return "text" if lvar <= 0xBF else "BCD"


def _data(words: ShownRecord) -> str:
    value = "no value" if words.value is None else f"{words.value} {words.unit}".rstrip()
    return value if words.state == "ok" else f"{value} ({words.state})"


def _rest(body: bytes, at: int, answer: Telegram) -> Iterator[Words]:
    """What stands behind the last record: fillers, manufacturer data, or a record that does not end."""
    while at < len(body) and body[at] == dif.FILLER:
        yield 1, "filler"
        at += 1
    if at == len(body):
        return
    if answer.partial:
        yield len(body) - at, f"a record that does not end: {_why(body, at)}"
        return
    more = " that follow in this telegram; more records in the next one" if body[at] == dif.MORE_RECORDS else " follow"
    yield 1, f"DIF, manufacturer data{more}"
    yield len(body) - at - 1, "manufacturer data"


def _why(body: bytes, at: int) -> str:
    """Why the record at `at` does not end."""
    try:
        info, at = dif.decode(body, at)
        _, _, at = vif.decode(body, at)
        data.measure(info.coding, info.size, body, at)
    except MeterError as error:
        return f"expected {error.expected}, got {error.got}"
    return "nobody knows"
