"""What COSEM objects are called, by their logical names (Blue Book 6.2, IEC 62056-61): for people, nothing is decided.

Registers are named as readings of all protocols are (`protocols.quantities`); here stand the names of what a meter has
beside them: profiles, setups, counters, states. What is not known here has the name of its class.
"""

from __future__ import annotations

from protocols import obis, quantities
from protocols.dlms import words
from protocols.dlms.objects import VALUE
from protocols.reading import Identity, NativeKey, Protocol

ABSTRACT, ELECTRICITY = 0, 1  # group A
ANYONE = Identity(Protocol.DLMS)
# Groups C, D and E of abstract objects (A is 0); None in E: any, and it is told where it is not 0.
_ABSTRACT: dict[tuple[int, int, int | None], str] = {
    (1, 0, None): "clock",
    (1, 1, 0): "clock, seconds since 1970",
    (2, 0, None): "modem",
    (10, 0, 0): "script: global reset",
    (10, 0, 1): "script: end of billing period",
    (10, 0, 100): "script: tariffs",
    (10, 0, 106): "script: disconnect",
    (10, 0, 107): "script: image activation",
    (10, 0, 108): "script: push",
    (11, 0, None): "special days",
    (12, 0, None): "schedule",
    (13, 0, None): "activity calendar",
    (14, 0, None): "register activation",
    (15, 0, 0): "end of billing period, scheduled",
    (15, 0, 1): "disconnect, scheduled",
    (15, 0, 2): "image activation, scheduled",
    (15, 0, 4): "push, scheduled",
    (16, 0, None): "register monitor",
    (16, 1, None): "parameter monitor",
    (17, 0, None): "limiter",
    (20, 0, None): "optical port",
    (21, 0, None): "read-out list",
    (22, 0, None): "HDLC",
    (25, 0, None): "TCP and UDP",
    (25, 1, None): "IPv4",
    (25, 2, None): "MAC address",
    (25, 3, None): "PPP",
    (25, 4, None): "mobile modem",
    (25, 6, None): "mobile network",
    (25, 7, None): "IPv6",
    (25, 9, None): "push",
    (40, 0, None): "association",
    (41, 0, 0): "logical devices (SAP)",
    (42, 0, 0): "logical device name",
    (43, 0, None): "security",
    (43, 1, None): "invocation counter of client",
    (44, 0, None): "firmware image transfer",
    (96, 1, None): "device number",
    (96, 2, 0): "configuration changes, count",
    (96, 2, 1): "configuration changed last",
    (96, 3, 10): "disconnect control",
    (96, 5, None): "status",
    (96, 6, 0): "battery, hours used",
    (96, 6, 1): "battery, charge",
    (96, 6, 3): "battery, voltage",
    (96, 6, 6): "battery, time left",
    (96, 7, None): "power failures",
    (96, 8, None): "operating time",
    (96, 10, None): "status of the profile",
    (96, 11, None): "event code of log",
    (96, 14, None): "tariff in force",
    (96, 15, None): "event counter",
    (97, 97, None): "error flags",
    (97, 98, 0): "alarm flags",
    (97, 98, 10): "alarm filter",
    (98, 1, None): "billing profile",
    (99, 98, None): "event log",
}
# ... and of electricity, of what is no register.
_ELECTRICITY: dict[tuple[int, int, int | None], str] = {
    (0, 0, None): "device number of the utility",
    (0, 1, 0): "billing periods, count",
    (0, 1, 2): "end of the last billing period",
    (0, 2, 0): "firmware version",
    (0, 2, 8): "firmware signature",
    (0, 4, 2): "current transformer, ratio",
    (0, 4, 3): "voltage transformer, ratio",
    (0, 8, 0): "measurement period",
    (0, 8, 4): "recording period of load profile 1",
    (0, 8, 5): "recording period of load profile 2",
    (98, 1, None): "billing profile",
    (99, 1, 0): "load profile 1",
    (99, 2, 0): "load profile 2",
    (99, 98, None): "event log",
}


def name(class_id: int, logical_name: bytes) -> str:
    """What the object is called in lower-case words; its class where nobody knows more."""
    a, b, c, d, e, f = logical_name
    table = {ABSTRACT: _ABSTRACT, ELECTRICITY: _ELECTRICITY}.get(a, {})
    exact, family = table.get((c, d, e)), table.get((c, d, None))
    found = exact or family
    if found is not None:
        number = f" {e}" if exact is None and e else ""
        return f"{found}{number}" + (f", channel {b}" if b else "") + (f", period {f}" if f != obis.ANY_F else "")
    said = quantities.label(NativeKey.dlms(class_id, logical_name, VALUE), ANYONE)
    if said != obis.shown(logical_name):
        return said
    return words.CLASSES.get(class_id, f"class {class_id}")
