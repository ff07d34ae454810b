"""An APDU explained: what each byte is, and what it says as one object; also where it does not hold to its end.

For people and their programs, offline. A ciphered APDU is named with what stands before the cipher: who sent it, how it
is secured, its counter. A password and a dedicated key are never printed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from protocols.dlms import association, get, notification, tree, words
from protocols.dlms.apdu import EXCEPTION, SERVICE_ERRORS, STATE_ERRORS
from protocols.dlms.blocks import LAST, STREAMING, TAG, WINDOW_MASK
from protocols.dlms.data import Data
from protocols.dlms.explain_association import aare, aarq, initiate_request, initiate_response, released
from protocols.dlms.faults import Malformed, NotSupported
from protocols.dlms.objects import Attribute
from protocols.dlms.parts import Walk
from protocols.dlms.tree import ShownData, ShownRegister
from protocols.errors import MeterError

SET_REQUEST, ACTION_REQUEST, SET_RESPONSE, ACTION_RESPONSE = 0xC1, 0xC3, 0xC5, 0xC7
GENERAL_GLO, GENERAL_DED, GENERAL = 0xDB, 0xDC, 0xDD
SUITE, AUTHENTICATED, ENCRYPTED, BROADCAST, COMPRESSED = 0x0F, 0x10, 0x20, 0x40, 0x80
SECURITY = (
    (AUTHENTICATED, "authenticated"),
    (ENCRYPTED, "encrypted"),
    (BROADCAST, "broadcast key"),
    (COMPRESSED, "compressed"),
)
TAG_SIZE = 12  # bytes of the authentication tag
KINDS = {
    get.REQUEST: {1: "normal", 2: "next", 3: "with list"},
    SET_REQUEST: {1: "normal", 2: "with first block", 3: "with block", 4: "with list", 5: "with list and first block"},
    ACTION_REQUEST: {1: "normal", 2: "next block", 3: "with list", 4: "with first block", 6: "with block"},
    get.RESPONSE: {1: "normal", 2: "with block", 3: "with list"},
    SET_RESPONSE: {1: "normal", 2: "block", 3: "last block", 4: "last block with list", 5: "with list"},
    ACTION_RESPONSE: {1: "normal", 2: "with block", 3: "with list", 4: "next block"},
}
WITH_SECRETS = frozenset({"AARQ", "initiate-request"})
Said = dict[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class ShownApdu:
    """One APDU in words: its name, what its fields say, the registers and the data that are in it.

    `octets` is the whole of it; `carries` an APDU or a piece of one inside (of general blocks, or of data blocks).
    """

    name: str
    fields: Said
    registers: tuple[ShownRegister, ...]
    data: tuple[ShownData, ...]
    error: MeterError | None
    octets: bytes


@dataclass(slots=True)
class _Said:
    """What an APDU said so far."""

    fields: Said
    data: list[Data]


def apdu(steps: Walk) -> ShownApdu:
    """The APDU from where the walk stands to its end; what does not hold is told and the rest noted as it is."""
    start, said = steps.at, _Said({}, [])
    depth, name = steps.depth, "nothing"
    error: MeterError | None = None
    try:
        tag = steps.take(1, "tag of the APDU")[0]
        name = words.APDUS.get(tag, f"tag {tag:02x}")
        steps.say(name)
        _walker(tag)(steps, said)
        if steps.left:
            raise Malformed("the end of the APDU", f"{steps.left} bytes more", name)
    except MeterError as found:
        error = found
        steps.depth = depth
        steps.rest("not decoded", secret=name in WITH_SECRETS)
    registers = tuple(register for each in said.data for register in tree.registers(each))
    shown = tuple(map(tree.shown, said.data))
    return ShownApdu(name, said.fields, registers, shown, error, steps.octets[start:])


def bare(steps: Walk) -> ShownApdu:
    """Data without an APDU around them."""
    start, found = steps.at, list[Data]()
    error: MeterError | None = None
    depth = steps.depth
    try:
        found.append(tree.walk(steps))
        if steps.left:
            raise Malformed("the end of the data", f"{steps.left} bytes more", "data")
    except MeterError as fault:
        error = fault
        steps.depth = depth
        steps.rest("not decoded")
    registers = tuple(register for each in found for register in tree.registers(each))
    return ShownApdu("data", {}, registers, tuple(map(tree.shown, found)), error, steps.octets[start:])


def _walker(tag: int) -> Callable[[Walk, _Said], None]:
    found = _WALKERS.get(tag)
    if found is not None:
        return found
    if words.APDUS.get(tag, "").startswith(("glo-", "ded-")):
        return _ciphered
    return _unknown


def _unknown(steps: Walk, said: _Said) -> None:
    raise NotSupported("an APDU that is explained here", words.APDUS.get(steps.octets[steps.at - 1], "another"), "APDU")


def _kind(steps: Walk, said: _Said) -> int:
    """Which form of a service it is, and the invoke-id."""
    tag = steps.octets[steps.at - 1]
    kind = steps.take(1, "form")[0]
    name = KINDS[tag].get(kind, "not known")
    steps.say(f"form {kind}: {name}")
    said.fields["form"] = name
    octet = steps.take(1, "invoke-id and priority")[0]
    confirmed = ", confirmed" if octet & 0x40 else ", not confirmed"
    urgent = ", high priority" if octet & 0x80 else ""
    steps.say(f"invoke-id {octet & 0x0F}{confirmed}{urgent}")
    said.fields["invoke_id"] = octet & 0x0F
    said.fields["service_class"] = "confirmed" if octet & 0x40 else "unconfirmed"
    said.fields["priority"] = "high" if octet & 0x80 else "normal"
    return kind


def _attribute(steps: Walk, said: _Said, what: str = "attribute") -> None:
    octets = steps.take(notification.DESCRIPTOR, what)
    asked = Attribute(int.from_bytes(octets[:2], "big"), octets[2:8], int.from_bytes(octets[8:], "big", signed=True))
    shown = tree.attribute(asked)
    shown = shown if what == "attribute" else shown.replace("attribute", what)
    steps.say(shown)
    before = said.fields.get(what)
    said.fields[what] = shown if before is None else f"{before}; {shown}"


def _selection(steps: Walk, said: _Said) -> None:
    chosen = steps.take(1, "selective access")[0]
    steps.say("selective access" if chosen else "no selective access")
    if chosen:
        said.fields["selector"] = steps.number(1, "selector")
        _data(steps, said)


def _data(steps: Walk, said: _Said, described: bool = False) -> None:
    said.data.append(tree.walk(steps, described))


def _result(steps: Walk, said: _Said) -> int:
    result = steps.take(1, "result")[0]
    steps.say(f"result {result}: {get.result_name(result)}")
    said.fields["result"] = get.result_name(result)
    return result


def _block(steps: Walk, said: _Said, with_result: bool = False) -> None:
    """A data block: last or not, its number, its octets (a piece of encoded data)."""
    last = bool(steps.take(1, "last block")[0])
    steps.say("the last block" if last else "not the last block")
    said.fields["last"], said.fields["block"] = last, steps.number(4, "block")
    if with_result and steps.take(1, "choice")[0]:
        steps.say("choice: a result")
        _result(steps, said)
        return
    if with_result:
        steps.say("choice: data")
    size = steps.length("block")
    steps.take(size, f"{size} bytes of encoded data")


def _get_request(steps: Walk, said: _Said) -> None:
    kind = _kind(steps, said)
    if kind == get.NEXT:
        said.fields["block"] = steps.number(4, "block")
    elif kind == get.WITH_LIST:
        for _ in range(_count(steps, 10)):
            _attribute(steps, said)
            _selection(steps, said)
    else:
        _attribute(steps, said)
        if steps.left:
            _selection(steps, said)


def _count(steps: Walk, least: int) -> int:
    """How many members of `least` bytes at least follow."""
    count = steps.length("list")
    if count * least > steps.left:
        raise Malformed(f"{count} members of {least} bytes", f"{steps.left} bytes", "list")
    return count


def _get_response(steps: Walk, said: _Said) -> None:
    kind = _kind(steps, said)
    if kind == get.WITH_BLOCK:
        _block(steps, said, with_result=True)
        return
    for _ in range(_count(steps, 2) if kind == get.WITH_LIST else 1):
        if steps.take(1, "choice")[0]:
            steps.say("choice: a result")
            _result(steps, said)
        else:
            steps.say("choice: data")
            _data(steps, said)


def _set_request(steps: Walk, said: _Said) -> None:
    kind = _kind(steps, said)
    if kind in {1, 2}:
        _attribute(steps, said)
        _selection(steps, said)
    elif kind in {4, 5}:
        for _ in range(_count(steps, 10)):
            _attribute(steps, said)
            _selection(steps, said)
    if kind in {2, 3, 5}:
        _block(steps, said)
    else:
        for _ in range(_count(steps, 1) if kind == 4 else 1):
            _data(steps, said)


def _set_response(steps: Walk, said: _Said) -> None:
    kind = _kind(steps, said)
    if kind in {4, 5}:
        for _ in range(_count(steps, 1)):
            _result(steps, said)
    elif kind != 2:
        _result(steps, said)
    if kind in {2, 3, 4}:
        said.fields["block"] = steps.number(4, "block")


def _action_request(steps: Walk, said: _Said) -> None:
    kind = _kind(steps, said)
    if kind == 2:
        said.fields["block"] = steps.number(4, "block")
        return
    if kind in {1, 4}:
        _attribute(steps, said, "method")
    elif kind == 3:
        for _ in range(_count(steps, 9)):
            _attribute(steps, said, "method")
    if kind in {4, 6}:
        _block(steps, said)
    elif kind == 3:
        for _ in range(_count(steps, 1)):
            _data(steps, said)
    elif steps.take(1, "parameters")[0]:
        steps.say("parameters follow")
        _data(steps, said)
    else:
        steps.say("no parameters")


def _action_response(steps: Walk, said: _Said) -> None:
    kind = _kind(steps, said)
    if kind == 2:
        _block(steps, said)
        return
    if kind == 4:
        said.fields["block"] = steps.number(4, "block")
        return
    for _ in range(_count(steps, 2) if kind == 3 else 1):
        _result(steps, said)
        if not steps.take(1, "returned data")[0]:
            steps.say("nothing is returned")
            continue
        steps.say("something is returned")
        if steps.take(1, "choice")[0]:
            steps.say("choice: a result")
            _result(steps, said)
        else:
            steps.say("choice: data")
            _data(steps, said)


def _push(steps: Walk, said: _Said) -> None:
    invoke = int.from_bytes(steps.take(notification.INVOKE, "invoke-id"), "big")
    wanted = ", an answer is wanted" if invoke & notification.CONFIRMED else ""
    urgent = ", high priority" if invoke & notification.HIGH_PRIORITY else ""
    steps.say(f"invoke-id {invoke & notification.INVOKE_MASK}{wanted}{urgent}")
    said.fields["invoke_id"] = invoke & notification.INVOKE_MASK
    _moment(steps, said)
    described = False
    with suppress(MeterError):  # the walk comes to the same place, and tells it there
        _, described = notification.read_body(steps.octets, steps.at)
    if described:
        said.fields["descriptors"] = "without tags"
    _data(steps, said, described)


def _event(steps: Walk, said: _Said) -> None:
    if steps.take(1, "time")[0]:
        steps.say("with a time")
        _moment(steps, said)
    else:
        steps.say("without a time")
    _attribute(steps, said)
    _data(steps, said)


def _moment(steps: Walk, said: _Said) -> None:
    octets, end = notification.read_moment(steps.octets, steps.at, "date-time")
    steps.take(end - len(octets) - steps.at, f"length of the date-time, {len(octets)}")
    if octets:
        said.fields["time"] = words.moment(octets)
        steps.take(len(octets), f"date-time, {words.moment(octets)}")


def _exception(steps: Walk, said: _Said) -> None:
    state, service = steps.take(1, "state error")[0], 0
    said.fields["state_error"] = STATE_ERRORS.get(state, str(state))
    steps.say(f"state error {state}: {said.fields['state_error']}")
    service = steps.take(1, "service error")[0]
    said.fields["service_error"] = SERVICE_ERRORS.get(service, str(service))
    steps.say(f"service error {service}: {said.fields['service_error']}")
    if steps.left == 4:
        said.fields["counter"] = steps.number(4, "invocation counter")


def _service_error(steps: Walk, said: _Said) -> None:
    for name in ("service", "kind", "value"):
        said.fields[name] = steps.number(1, name)


def _general_block(steps: Walk, said: _Said) -> None:
    control = steps.take(1, "control")[0]
    last, streaming = bool(control & LAST), bool(control & STREAMING)
    window = control & WINDOW_MASK
    first = "the last block" if last else "not the last block"
    steps.say(f"control, {first}{', streaming' if streaming else ''}, window {window}")
    said.fields |= {"last": last, "streaming": streaming, "window": window}
    said.fields["block"] = steps.number(2, "block")
    said.fields["acknowledged"] = steps.number(2, "acknowledged block")
    size = steps.length("block")
    steps.take(size, f"{size} bytes of an APDU")


def _general_ciphered(steps: Walk, said: _Said) -> None:
    if steps.octets[steps.at - 1] == GENERAL:
        for name in ("transaction id", "originator", "recipient", "date-time", "other information"):
            size = steps.length(name)
            octets = steps.take(size, name)
            if size:
                said.fields[name.replace(" ", "_").replace("-", "_")] = octets.hex()
        _key_info(steps, said)
    else:
        octets = steps.take(steps.length("system title"), "system title")
        said.fields["system_title"] = octets.hex()
        steps.say(f"system title {_title(octets)}")
    _ciphered(steps, said)


def _key_info(steps: Walk, said: _Said) -> None:
    if not steps.take(1, "key information")[0]:
        steps.say("no key information")
        return
    kind = steps.take(1, "kind of key")[0]
    names = {0: "identified key", 1: "wrapped key", 2: "agreed key"}
    said.fields["key"] = names.get(kind, str(kind))
    steps.say(f"kind of key {kind}: {said.fields['key']}")
    if kind == 2:
        steps.take(steps.length("key parameters"), "key parameters")
    else:
        steps.number(1, "key id")
    if kind:
        steps.take(steps.length("key data"), "key data")


def _ciphered(steps: Walk, said: _Said) -> None:
    size = steps.length("ciphered APDU")
    if size > steps.left:
        raise Malformed(f"{size} bytes", str(steps.left), "ciphered APDU")
    control = steps.take(1, "security control")[0]
    named = ", ".join(name for bit, name in SECURITY if control & bit) or "neither authenticated nor encrypted"
    said.fields["security"] = f"suite {control & SUITE}, {named}"
    steps.say(f"security control {control:02x}: {said.fields['security']}")
    said.fields["counter"] = steps.number(4, "invocation counter")
    tag = TAG_SIZE if control & AUTHENTICATED and steps.left >= TAG_SIZE else 0
    steps.take(steps.left - tag, "encrypted" if control & ENCRYPTED else "the APDU, not encrypted")
    steps.take(tag, "authentication tag")


def _title(octets: bytes) -> str:
    """A system title: the manufacturer's letters where it begins with them, and all of it in hex."""
    letters = octets[:3].decode("ascii", "replace")
    return f"{letters} {octets.hex()}" if letters.isalpha() and letters.isascii() else octets.hex()


def _from_fields(explainer: Callable[[Walk, Said], None]) -> Callable[[Walk, _Said], None]:
    return lambda steps, said: explainer(steps, said.fields)


_WALKERS: dict[int, Callable[[Walk, _Said], None]] = {
    0x01: _from_fields(initiate_request),
    0x08: _from_fields(initiate_response),
    association.CONFIRMED_SERVICE_ERROR: _service_error,
    notification.DATA_NOTIFICATION: _push,
    association.AARQ: _from_fields(aarq),
    association.AARE: _from_fields(aare),
    association.RLRQ: _from_fields(released),
    association.RLRE: _from_fields(released),
    get.REQUEST: _get_request,
    SET_REQUEST: _set_request,
    notification.EVENT_NOTIFICATION: _event,
    ACTION_REQUEST: _action_request,
    get.RESPONSE: _get_response,
    SET_RESPONSE: _set_response,
    ACTION_RESPONSE: _action_response,
    EXCEPTION: _exception,
    GENERAL_GLO: _general_ciphered,
    GENERAL_DED: _general_ciphered,
    GENERAL: _general_ciphered,
    TAG: _general_block,
}
