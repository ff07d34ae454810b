"""Explains how an association begins and ends: AARQ, AARE, RLRQ, RLRE and the initiate-request and -response inside."""

from __future__ import annotations

from protocols.dlms.association import AARQ, DIAGNOSTICS, PROVIDER, PROVIDER_DIAGNOSTICS, RESULTS, RLRQ
from protocols.dlms.faults import CutShort, Malformed
from protocols.dlms.initiate import CONFORMANCE, SHORT_CONFORMANCE, Conformance
from protocols.dlms.parts import Walk

Said = dict[str, str | int | bool | None]
CONTEXTS = {
    1: "logical names",
    2: "short names",
    3: "logical names, ciphered",
    4: "short names, ciphered",
}
MECHANISMS = {
    0: "none",
    1: "LLS (password)",
    2: "HLS of the manufacturer",
    3: "HLS with MD5",
    4: "HLS with SHA-1",
    5: "HLS with GMAC",
    6: "HLS with SHA-256",
    7: "HLS with ECDSA",
}
REASONS = {0: "normal", 1: "urgent, or not finished", 30: "user defined"}
CONTEXT, RESULT, DIAGNOSTIC, TITLE_THEIRS, TITLE, MECHANISM_THEIRS, MECHANISM = 0xA1, 0xA2, 0xA3, 0xA4, 0xA6, 0x89, 0x8B
AUTHENTICATION, AUTHENTICATION_THEIRS, USER = 0xAC, 0xAA, 0xBE
NAMES = {
    0x80: "protocol version, or reason",
    0x88: "acse requirements",
    0x8A: "acse requirements",
    0xA5: "AE qualifier",
    0xA7: "AE qualifier",
    0xA9: "AE invocation id",
    CONTEXT: "application context",
    RESULT: "result",
    DIAGNOSTIC: "diagnostic",
    TITLE: "calling system title",
    TITLE_THEIRS: "responding system title",
    MECHANISM: "authentication mechanism",
    MECHANISM_THEIRS: "authentication mechanism",
    AUTHENTICATION: "authentication value",
    AUTHENTICATION_THEIRS: "authentication value",
    USER: "user information",
}
REQUEST, RESPONSE, ERROR = 0x01, 0x08, 0x0E


def aarq(steps: Walk, said: Said) -> None:
    """An AARQ behind its tag.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    _fields(steps, said)


def aare(steps: Walk, said: Said) -> None:
    """An AARE behind its tag.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    _fields(steps, said)


def released(steps: Walk, said: Said) -> None:
    """A RLRQ or RLRE behind its tag; some meters write a wrong length."""
    name = "RLRQ" if steps.octets[steps.at - 1] == RLRQ else "RLRE"
    size = steps.length(name)
    if size != steps.left:
        steps.say(f"length of the {name}, {size} (wrong: {steps.left} follow)")
    while steps.left:
        _field(steps, said)


def initiate_request(steps: Walk, said: Said) -> None:
    """An initiate-request behind its tag.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    if _present(steps, "dedicated key"):
        size = steps.length("dedicated key")
        steps.take(size, f"dedicated key, {size} bytes, not shown", secret=True)
    if _present(steps, "response allowed"):
        allowed = bool(steps.take(1, "response allowed")[0])
        steps.say(f"response allowed: {str(allowed).lower()}")
    if _present(steps, "quality of service"):
        steps.number(1, "quality of service")
    _agreed(steps, said, "the client takes")


def initiate_response(steps: Walk, said: Said) -> None:
    """An initiate-response behind its tag.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    if _present(steps, "quality of service"):
        steps.number(1, "quality of service")
    _agreed(steps, said, "the meter takes")
    if steps.left:
        name = steps.take(2, "association object")
        steps.say(f"association object {name.hex()}")


def _agreed(steps: Walk, said: Said, who: str) -> None:
    said["dlms_version"] = steps.number(1, "DLMS version")
    lead = next((each for each in (CONFORMANCE, SHORT_CONFORMANCE) if steps.peek(len(each)) == each), None)
    if lead is None:
        raise Malformed(f"conformance {CONFORMANCE.hex()}", steps.peek(4).hex(), "initiate")
    steps.take(len(lead), "conformance follows")
    bits = Conformance(int.from_bytes(steps.take(3, "conformance"), "big"))
    names = [each.name.lower().replace("_", "-") for each in Conformance if each & bits and each.name]
    rest = int(bits) & ~int(sum(Conformance))
    said["conformance"] = ", ".join(names + ([f"{rest:06x}"] if rest else []))
    steps.say(f"conformance, {said['conformance']}")
    said["max_pdu"] = steps.number(2, f"longest APDU that {who}, bytes:")


def _present(steps: Walk, name: str) -> bool:
    found = bool(steps.take(1, name)[0])
    steps.say(f"{name} follows" if found else f"no {name}")
    return found


def _fields(steps: Walk, said: Said) -> None:
    name = "AARQ" if steps.octets[steps.at - 1] == AARQ else "AARE"
    size = steps.length(name)
    if size != steps.left:
        raise CutShort(f"{size} bytes", str(steps.left), name)
    while steps.left:
        _field(steps, said)


def _field(steps: Walk, said: Said) -> None:
    """One field: its tag, its length, and what is inside."""
    tag = steps.take(1, "field")[0]
    name = NAMES.get(tag, f"field {tag:02x}")
    steps.say(name)
    size = steps.length(name)
    if size > steps.left:
        raise CutShort(f"{size} bytes", str(steps.left), name)
    steps.depth += 1
    inside = Walk(steps.octets[: steps.at + size], steps.at, steps.depth)
    try:
        _content(inside, tag, name, said)
    finally:  # what was noted of it stays
        steps.parts += inside.parts
        steps.at = inside.at
        steps.depth -= 1


def _content(inside: Walk, tag: int, name: str, said: Said) -> None:
    if tag & 0x20 and inside.left:  # constructed: a tag and a length of its own
        if tag == DIAGNOSTIC:
            _diagnostic(inside, said)
            return
        inside.take(1, "tag")
        inside.length(name)
    if tag == USER:
        _user(inside, said)
        return
    # A challenge may be seen by anyone; a password may not.
    secret = tag == AUTHENTICATION and not str(said.get("authentication_mechanism", "")).startswith("HLS")
    octets = inside.rest(f"{name}, not shown" if secret else name) if inside.left else b""
    if octets and not secret:
        shown = _meaning(tag, octets)
        said[name.replace(" ", "_").replace(",", "")] = shown
        inside.say(f"{name}, {shown}")
    elif octets:
        inside.parts[-1] = inside.parts[-1].hidden()


def _meaning(tag: int, octets: bytes) -> str:
    last = octets[-1]
    match tag:
        case 0xA1:
            return CONTEXTS.get(last, octets.hex())
        case 0x89 | 0x8B:
            return MECHANISMS.get(last, octets.hex())
        case 0xA2:
            return RESULTS.get(last, str(last))
        case 0x80:
            return REASONS.get(last, octets.hex())
    return octets.hex()


def _diagnostic(inside: Walk, said: Said) -> None:
    source = inside.take(1, "who says it")[0]
    names = PROVIDER_DIAGNOSTICS if source == PROVIDER else DIAGNOSTICS
    inside.say("said by the provider" if source == PROVIDER else "said by the user of the service")
    inside.length("diagnostic")
    inside.take(1, "tag")
    inside.length("diagnostic")
    number = inside.rest("diagnostic") if inside.left else b"\0"
    said["diagnostic"] = names.get(number[-1], f"diagnostic {number[-1]}")
    inside.say(f"diagnostic {number[-1]}: {said['diagnostic']}")


def _user(inside: Walk, said: Said) -> None:
    """What is inside user-information: plain, an error, or ciphered."""
    tag = inside.peek()
    if tag == bytes((REQUEST,)):
        inside.take(1, "initiate-request")
        initiate_request(inside, said)
    elif tag == bytes((RESPONSE,)):
        inside.take(1, "initiate-response")
        initiate_response(inside, said)
    elif tag == bytes((ERROR,)):
        inside.take(1, "confirmed-service-error")
        for name in ("service", "kind", "value"):
            said[f"error_{name}"] = inside.number(1, name)
    elif inside.left:
        octets = inside.rest("ciphered")
        said["user_information"] = f"ciphered, tag {octets[0]:02x}"
        inside.say(f"user information, ciphered (tag {octets[0]:02x})")
