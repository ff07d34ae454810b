"""A carrier that ciphers: what is sent through it is sealed, what comes is opened, or is foreign with the reason."""

from __future__ import annotations

from protocols.dlms.carrier import Apdu, Carrier, Foreign, Heard
from protocols.dlms.protection import Protection
from protocols.errors import MeterError


class Shield:
    """Another carrier, with the protection of an association around its APDUs."""

    def __init__(self, carrier: Carrier, protection: Protection) -> None:
        self._carrier, self._protection = carrier, protection
        self.tries, self.linked = carrier.tries, carrier.linked

    @property
    def inside(self) -> bool:
        """As the carrier."""
        return self._carrier.inside

    def connect(self) -> bytes:
        """As the carrier."""
        return self._carrier.connect()

    def disconnect(self) -> bytes:
        """As the carrier."""
        return self._carrier.disconnect()

    def send(self, apdu: bytes) -> bytes:
        """What carries the sealed APDU.

        Raises:
            CountersSpent: no invocation counter is left.
        """
        return self._carrier.send(self._protection.protect(apdu))

    def again(self) -> bytes:
        """As the carrier: the same sealed bytes once more."""
        return self._carrier.again()

    def feed(self, octets: bytes) -> list[Heard]:
        """What these bytes say, opened one after the other."""
        return [self._opened(each) for each in self._carrier.feed(octets)]

    def silence(self) -> list[Heard]:
        """As the carrier, opened."""
        return [self._opened(each) for each in self._carrier.silence()]

    def fault(self) -> MeterError | None:
        """As the carrier."""
        return self._carrier.fault()

    def _opened(self, heard: Heard) -> Heard:
        if not isinstance(heard, Apdu):
            return heard
        try:
            return Apdu(self._protection.open(heard.octets))
        except MeterError as error:
            return Foreign(error)
