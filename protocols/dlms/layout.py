"""Bytes of DLMS/COSEM explained for people and for programs; which framing they have is told by how they begin."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.dlms import data as axdr
from protocols.dlms import explain, frames, parts, words
from protocols.dlms.explain import ShownApdu
from protocols.dlms.faults import NotSupported
from protocols.dlms.frames import Explained, Section
from protocols.dlms.hdlc import FLAG, FORMAT
from protocols.dlms.parts import Walk
from protocols.dlms.tree import ShownData
from protocols.dlms.wrapper import HEADER, VERSION
from protocols.errors import MeterError

WRAPPED = VERSION.to_bytes(2, "big")
FRAMINGS = {
    "hdlc": "HDLC",
    "wrapper": "the TCP wrapper",
    "mbus": "M-Bus frames that carry DLMS",
    "none": "an APDU",
    "data": "data without an APDU",
}
Json = dict[str, object]


def is_dlms(octets: bytes) -> bool:
    """Whether bytes begin as DLMS/COSEM begins: a frame, a wrapper message, an APDU or data."""
    return _kind(octets) is not None


def explained(octets: bytes) -> Explained:
    """What these bytes are; `error` says what is wrong with them.

    Raises:
        NotSupported: they begin as nothing of DLMS/COSEM does.
    """
    kind = _kind(octets)
    match kind:
        case "hdlc":
            return frames.over_hdlc(octets)
        case "wrapper":
            return frames.over_wrapper(octets)
        case "mbus":
            return frames.over_mbus(octets)
        case "none":
            return _apdu_or_data(octets)
        case "data":
            return _data(octets)
    raise NotSupported("7e, a0-af, 0001, or the tag of an APDU or of data", octets[:1].hex() or "nothing", "telegram")


def lines(found: Explained) -> list[str]:
    """For people: frames, what each APDU says, and every byte."""
    shown = [f"DLMS/COSEM, {FRAMINGS[found.carrier]}"]
    for each in found.frames:
        right = "check sequences right" if each.right else "check sequence WRONG"
        said = "" if each.control is None else f", {each.control}"
        check = f", {right}" if each.carrier != "wrapper" else ""
        shown.append(f"  from {each.source} to {each.destination}{said}{check}")
    for apdu in found.apdus:
        shown += ["", *_apdu_lines(apdu)]
    shown += [f"note: {each}" for each in found.remarks]
    for section in found.sections:
        shown += ["", *_section(section)]
    return shown


def as_json(found: Explained) -> Json:
    """For programs: one object; `error` is there only where not all of it holds."""
    shown: Json = {
        "protocol": "dlms",
        "framing": found.carrier,
        "frames": [
            {
                "destination": each.destination,
                "source": each.source,
                "control": each.control,
                "segmented": each.segmented,
                "right": each.right,
                "expected": each.expected,
            }
            for each in found.frames
        ],
        "apdus": [_apdu_json(each) for each in found.apdus],
        "notes": found.remarks,
    }
    return shown if found.error is None else {**shown, "error": str(found.error)}


def _kind(octets: bytes) -> str | None:
    if frames.is_over_mbus(octets):
        return "mbus"
    first = octets[0] if octets else None
    if first is None:
        return None
    if first == FLAG or first & 0xF0 == FORMAT:
        return "hdlc"
    if octets[: len(WRAPPED)] == WRAPPED and len(octets) >= HEADER:
        return "wrapper"
    if first in words.APDUS:
        return "none"
    return "data" if first in {int(tag) for tag in axdr.Tag} else None


def _apdu_or_data(octets: bytes) -> Explained:
    """Some tags are those of an APDU and of a type of data: what holds to the end counts, and the other is told."""
    found = frames.alone(octets)
    try:
        other = axdr.from_bytes(octets)
    except MeterError:
        return found
    said = f"{words.type_name(other.tag)} {words.value(other)}"
    if found.error is None:
        found.remarks.append(f"ambiguous: these bytes are also data without an APDU around them: {said}")
        return found
    found = _data(octets)
    name = words.APDUS[octets[0]]
    found.remarks.append(f"ambiguous: they begin like the APDU {name}, but do not hold as one")
    return found


def _data(octets: bytes) -> Explained:
    found, steps = Explained("data"), Walk(octets)
    shown = explain.bare(steps)
    found.apdus.append(shown)
    found.fault(shown.error)
    found.sections.append(Section("", tuple(steps.parts)))
    return found


def _apdu_lines(apdu: ShownApdu) -> Iterator[str]:
    yield apdu.name
    for name, said in apdu.fields.items():
        shown = str(said).lower() if isinstance(said, bool) else str(said)
        yield f"  {name.replace('_', ' '):<24}  {shown}"
    for each in apdu.registers:
        yield f"  {each.obis:<24}  {each.value} {each.unit}".rstrip()
    for data in apdu.data if not apdu.registers else ():
        yield f"  {data.type:<24}  {f'of {len(data.members)}' if data.value is None else data.value}"
    if apdu.error is not None:
        yield f"  {apdu.error}"


def _section(section: Section) -> Iterator[str]:
    if section.title:
        yield f"{section.title}:"
    yield from parts.lines(list(section.parts))


def _apdu_json(apdu: ShownApdu) -> Json:
    return {
        "name": apdu.name,
        **apdu.fields,
        "registers": [{"obis": each.obis, "value": each.value, "unit": each.unit} for each in apdu.registers],
        "data": [_data_json(each) for each in apdu.data],
        "error": None if apdu.error is None else str(apdu.error),
    }


def _data_json(shown: ShownData) -> Json:
    found: Json = {"type": shown.type}
    if shown.value is not None:
        found["value"] = shown.value
    if shown.raw is not None:
        found["raw"] = shown.raw
    if shown.value is None and shown.type in _LISTS:
        found["members"] = [_data_json(each) for each in shown.members]
    return found


_LISTS = {words.type_name(tag) for tag in (*axdr.LISTS, axdr.Tag.COMPACT_ARRAY)}
