"""Names and values of DLMS/COSEM in words, for people: APDUs, classes, frames' controls, times with their wildcards."""

from __future__ import annotations

from protocols import obis
from protocols.dlms import binary, hdlc
from protocols.dlms.clock import ANY, ANY_YEAR, NO_DEVIATION, SIZE
from protocols.dlms.data import STRINGS, Data, Tag

APDUS = {
    0x01: "initiate-request",
    0x05: "read-request",
    0x06: "write-request",
    0x08: "initiate-response",
    0x0C: "read-response",
    0x0D: "write-response",
    0x0E: "confirmed-service-error",
    0x0F: "data-notification",
    0x10: "data-notification-confirm",
    0x16: "unconfirmed-write-request",
    0x18: "information-report",
    0x21: "glo-initiate-request",
    0x28: "glo-initiate-response",
    0x2E: "glo-confirmed-service-error",
    0x41: "ded-initiate-request",
    0x48: "ded-initiate-response",
    0x4E: "ded-confirmed-service-error",
    0x60: "AARQ",
    0x61: "AARE",
    0x62: "RLRQ",
    0x63: "RLRE",
    0xC0: "get-request",
    0xC1: "set-request",
    0xC2: "event-notification",
    0xC3: "action-request",
    0xC4: "get-response",
    0xC5: "set-response",
    0xC7: "action-response",
    0xC8: "glo-get-request",
    0xC9: "glo-set-request",
    0xCA: "glo-event-notification",
    0xCB: "glo-action-request",
    0xCC: "glo-get-response",
    0xCD: "glo-set-response",
    0xCF: "glo-action-response",
    0xD0: "ded-get-request",
    0xD1: "ded-set-request",
    0xD2: "ded-event-notification",
    0xD3: "ded-action-request",
    0xD4: "ded-get-response",
    0xD5: "ded-set-response",
    0xD7: "ded-action-response",
    0xD8: "exception-response",
    0xD9: "access-request",
    0xDA: "access-response",
    0xDB: "general-glo-ciphering",
    0xDC: "general-ded-ciphering",
    0xDD: "general-ciphering",
    0xDF: "general-signing",
    0xE0: "general-block-transfer",
}
CLASSES = {
    1: "data",
    3: "register",
    4: "extended register",
    5: "demand register",
    6: "register activation",
    7: "profile",
    8: "clock",
    9: "script table",
    10: "schedule",
    11: "special days",
    15: "association",
    17: "SAP assignment",
    18: "image transfer",
    19: "optical port",
    20: "activity calendar",
    21: "register monitor",
    22: "single action schedule",
    23: "HDLC set-up",
    29: "modem",
    40: "push set-up",
    41: "TCP-UDP set-up",
    42: "IPv4 set-up",
    62: "compact data",
    64: "security set-up",
    68: "arbitrator",
    70: "disconnect control",
    71: "limiter",
    72: "M-Bus client",
}
CONTROLS = {
    hdlc.SNRM: "SNRM: connect",
    hdlc.DISC: "DISC: disconnect",
    hdlc.UA: "UA: acknowledged",
    hdlc.DM: "DM: not connected",
    hdlc.FRMR: "FRMR: frame rejected",
    hdlc.UI: "UI: information without numbers",
}
STATUS = (
    (0x01, "invalid"),
    (0x02, "doubtful"),
    (0x04, "different clock base"),
    (0x08, "invalid clock status"),
    (0x80, "summer time"),
)
DAYS = {0xFD: "the last day but one", 0xFE: "the last day"}
MONTHS = {0xFD: "end of summer time", 0xFE: "begin of summer time"}
LARGEST_A = 15  # of OBIS names: what is above is no medium


def control(octet: int) -> str:
    """An HDLC control field."""
    final = ", poll/final" if octet & hdlc.POLL_FINAL else ""
    if not octet & 1:
        return f"I: information, N(S) {octet >> 1 & 7}, N(R) {octet >> 5}{final}"
    if octet & 0x0F in {hdlc.RR, hdlc.RNR}:
        name = "RR: ready" if octet & 0x0F == hdlc.RR else "RNR: not ready"
        return f"{name}, N(R) {octet >> 5}{final}"
    return CONTROLS.get(octet & ~hdlc.POLL_FINAL, "not used by DLMS") + final


def type_name(tag: Tag) -> str:
    """The standard's name of a type."""
    return tag.name.lower().replace("_", "-")


def value(data: Data) -> str:
    """A value that is no array or structure."""
    content = data.content
    if content is None or isinstance(content, tuple):
        return "null" if content is None else f"{len(content)} members"
    if isinstance(content, int):
        return _whole(data.tag, content)
    if data.tag in binary.FORMS:
        return binary.shown(data)
    if data.tag is Tag.BIT_STRING:
        return "".join(f"{each:08b}" for each in content)[: data.bits]
    if data.tag in {Tag.DATE, Tag.TIME, Tag.DATE_TIME}:
        return moment(content)
    return octets(data)


def _whole(tag: Tag, content: int) -> str:
    if tag is Tag.BOOLEAN:
        return str(bool(content)).lower()
    if tag is Tag.BCD:
        return f"{content:02x}" if max(divmod(content, 16)) < 10 else f"{content:02x}, no digits"
    return str(content)


def octets(data: Data) -> str:
    """What octets say: a text, a time or a name where they look like one, else themselves."""
    content = data.content if isinstance(data.content, bytes) else b""
    found = text(data)
    if found is not None:
        return found
    if is_moment(content):
        return moment(content)
    return obis.shown(content) if is_name(content) else content.hex()


def text(data: Data) -> str | None:
    """The printable text of a string; None where it is none (zeros at the end are none of it)."""
    content = data.content.rstrip(b"\0") if isinstance(data.content, bytes) else b""
    if data.tag not in STRINGS or not content:
        return None
    try:
        found = content.decode("utf-8" if data.tag is Tag.UTF8_STRING else "ascii")
    except UnicodeDecodeError:
        return None
    return found if found.isprintable() else None


def is_name(content: bytes) -> bool:
    """Whether six octets look like a logical name and not like a text."""
    return len(content) == obis.OBIS and content[0] <= LARGEST_A and not (content.isascii() and _is_text(content))


def _is_text(content: bytes) -> bool:
    return content.decode("ascii").isprintable()


def is_moment(content: bytes) -> bool:
    """Whether twelve octets can be a date-time, wildcards allowed."""
    if len(content) != SIZE:
        return False
    year, deviation = int.from_bytes(content[:2], "big"), int.from_bytes(content[9:11], "big", signed=True)
    month, day, weekday, hour, minute, second, hundredths = content[2:9]
    return (
        (1970 <= year <= 2099 or year == ANY_YEAR)
        and (1 <= month <= 12 or month >= 0xFD)
        and (1 <= day <= 31 or day >= 0xFD)
        and (weekday <= 7 or weekday == ANY)
        and all(each < limit or each == ANY for each, limit in ((hour, 24), (minute, 60), (second, 60)))
        and (hundredths < 100 or hundredths == ANY)
        and (deviation == NO_DEVIATION or -840 <= deviation <= 840 or deviation == -1)
    )


def moment(content: bytes) -> str:
    """A date (5 bytes), a time (4) or a date-time (12), as shown: what is not specified is "*"."""
    if len(content) == 5:
        return _date(content)
    if len(content) == 4:
        return _time(content)
    return f"{_date(content[:5])} {_time(content[5:9])}, {deviation(content[9:11])}, {status(content[11])}"


def deviation(content: bytes) -> str:
    """Minutes from local time to UTC, and what people call that."""
    minutes = int.from_bytes(content, "big", signed=True)
    if minutes == NO_DEVIATION:
        return "no deviation"
    sign = "-" if minutes > 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    return f"deviation {minutes} min (UTC{sign}{hours:02}:{rest:02})"


def status(octet: int) -> str:
    """The status of a clock."""
    if octet == ANY:
        return "no status"
    named = ", ".join(name for bit, name in STATUS if octet & bit)
    return f"status {octet:02x}" + (f" ({named})" if named else "")


def _date(content: bytes) -> str:
    year = int.from_bytes(content[:2], "big")
    month, day, weekday = content[2:]
    shown = [
        "*" if year == ANY_YEAR else f"{year:04}",
        "*" if month == ANY else MONTHS.get(month, f"{month:02}"),
        "*" if day == ANY else DAYS.get(day, f"{day:02}"),
    ]
    named = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return "-".join(shown) + (f" {named[weekday - 1]}" if 1 <= weekday <= len(named) else "")


def _time(content: bytes) -> str:
    shown = ["*" if each == ANY else f"{each:02}" for each in content]
    return ":".join(shown[:3]) + ("" if content[3] in {0, ANY} else f".{shown[3]}")
