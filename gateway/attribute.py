"""Which configured meter sent a push: by system title, by the name that it says, or by the address it comes from.

Never by guess: none, or several that may be meant, are no meter. A ciphered push is its title's meter's, and the tag
proves it. A plain one is the meter's whose logical device name or system title stands in it, else that of the one meter
whose `push_from` it comes from (of several behind one address: the one whose logical device the wPort names). Whatever
says who it is: where `push_from` is given it must come from there, and nothing in it may say that it is another meter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.config import DlmsDevice
from gateway.push_faults import PushOfAnother, PushPlain, PushUnattributed
from gateway.pushstore import Met
from protocols.dlms import pushed
from protocols.dlms.data import Data
from protocols.dlms.objects import DEVICE_ID, text_of
from protocols.dlms.pushed import Item
from protocols.dlms.unasked import Unasked


@dataclass(frozen=True, slots=True)
class From:
    """Where a push came from: the address without its port, and the wPort (None over HDLC)."""

    address: str
    port: int | None = None


class Senders:
    """The meters that may push."""

    def __init__(self, devices: Sequence[DlmsDevice], met: Mapping[str, Met]) -> None:
        self._devices, self._met = tuple(devices), met

    def of_ciphered(self, unasked: Unasked, origin: From) -> DlmsDevice:
        """The meter under whose keys it must open.

        Raises:
            PushUnattributed: no one meter.
        """
        if unasked.title:
            found = [each for each in self._devices if bytes.fromhex(each.meter_title or "") == unasked.title]
            words = f"the system title of a meter with push = true, got by {origin.address}"
            return self._checked(found, origin, words, unasked.title.hex())
        ciphered = [each for each in self._at(origin) if each.ciphering != "none"]
        return self._checked(ciphered, origin, "a push that says its sender's title", f"one from {origin.address}")

    def check_origin(self, origin: From) -> None:
        """Whether a plain push from there may be any meter's at all: one that cannot is not decoded.

        Raises:
            PushUnattributed: it cannot.
        """
        if not any(each.push_from in {None, origin.address} for each in self._devices):
            raise PushUnattributed("a push from the push_from of a meter", f"one from {origin.address}", "push")

    def of_plain(self, body: Data, origin: From) -> DlmsDevice:
        """The meter that a plain push is of.

        Raises:
            PushUnattributed: no one meter.
            PushPlain: that one's pushes are ciphered.
        """
        said = frozenset(pushed.strings(body))
        named = [each for each in self._devices if said & self._names(each)]
        found = self._checked(named or self._at(origin), origin, "a push of a configured meter", origin.address)
        if found.ciphering != "none":
            raise PushPlain("a ciphered push", "a plain one", found.name)
        return found

    def check(self, device: DlmsDevice, items: Sequence[Item]) -> None:
        """What a push says of its sender must be that meter.

        Raises:
            PushOfAnother: it says that it is another.
        """
        met, name = self._met.get(device.name), pushed.name_of(items)
        wanted = None if met is None else met.identity.logical_name
        if name is not None and wanted is not None and name != wanted:
            raise PushOfAnother(f"logical device name {wanted}", name, device.name)
        ids = (text_of(each.data) for each in items if each.attribute.name == DEVICE_ID.name)
        serial = next((each for each in ids if each is not None), None)
        if serial is not None and device.serial is not None and serial != device.serial:
            raise PushOfAnother(f"device id {device.serial}", serial, device.name)

    def _at(self, origin: From) -> list[DlmsDevice]:
        here = [each for each in self._devices if each.push_from == origin.address]
        return here if len(here) < 2 else [each for each in here if each.server == origin.port]

    def _names(self, device: DlmsDevice) -> frozenset[bytes]:
        met = self._met.get(device.name)
        name = None if met is None else met.identity.logical_name
        return frozenset(filter(None, ((name or "").encode(), bytes.fromhex(device.meter_title or ""))))

    def _checked(self, found: Sequence[DlmsDevice], origin: From, expected: str, got: str) -> DlmsDevice:
        if len(found) != 1:
            several = f", {len(found)} meters" if found else ""
            raise PushUnattributed(expected, f"{got}{several}", "push")
        if found[0].push_from not in {None, origin.address}:
            raise PushUnattributed(f"a push from {found[0].push_from}", f"one from {origin.address}", found[0].name)
        return found[0]
