"""One error root, branches by who can remedy it; every error has a stable code and says expected, got and what to do.

Codes are `PLB-` and a letter for the branch and three digits: C configuration (technician), M meter, L link, S storage,
P peer (gateway or collector), X security, B our own bug. A code is never reused for another meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PlombaError(Exception):
    """The root of all expected faults.

    Args:
        expected: what should have come, in a few words.
        got: what came; bytes in hex.
        where: file, meter, message or field it came in; may be empty.
    """

    code: ClassVar[str] = ""
    do: ClassVar[str] = ""
    registry: ClassVar[dict[str, type[PlombaError]]] = {}

    def __init__(self, expected: str, got: str, where: str = "") -> None:
        super().__init__(expected, got, where)
        self.expected = expected
        self.got = got
        self.where = where

    def __init_subclass__(cls) -> None:
        if "code" not in cls.__dict__:
            return
        other = PlombaError.registry.setdefault(cls.code, cls)
        if other.__qualname__ != cls.__qualname__:
            raise TypeError(f"error code {cls.code} belongs to {other.__qualname__}, not to {cls.__qualname__}")

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, from one process to another, whatever its class is made with."""
        return _again, (type(self), self.args), self.__dict__

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        advice = f"; {self.do}" if self.do else ""
        return f"{self.code}: expected {self.expected}, got {self.got}{place}{advice}"


class ConfigurationError(PlombaError):
    """The technician can remedy it by changing a file or an argument (PLB-C...)."""


class MeterError(PlombaError):
    """What the meter answered, or that it did not (PLB-M...)."""


class AnotherMeter(MeterError):  # noqa: N818 - named after what happened
    """The meter that answered is not the one that is configured at this address."""

    code = "PLB-M114"
    do = (
        "was the meter exchanged? 'plomba-gateway exchange' records it and corrects the file; otherwise correct the"
        " address or identity in the configuration"
    )


class LinkError(PlombaError):
    """The line to a meter or to the broker (PLB-L...)."""


class StorageError(PlombaError):
    """Disk, file system or database (PLB-S...)."""


class FileUnusable(StorageError):  # noqa: N818 - named after what happened
    """A file that a command reads or writes: it is not there, not allowed, or the disk is full."""

    code = "PLB-S101"
    do = "look whether the path is right, whether this user may use it, and whether the disk has room"

    @classmethod
    def of(cls, error: OSError) -> FileUnusable:
        """What the system said of a file."""
        return cls("a file that can be used", error.strerror or str(error), str(error.filename or ""))


class PeerError(PlombaError):
    """The other side of the uplink broke its contract (PLB-P...)."""


class SecurityError(PlombaError):
    """A signature, key, certificate or seal that does not hold (PLB-X...)."""


class OwnBug(PlombaError):  # noqa: N818 - it is called what it is
    """Our own fault: please report it with the message (PLB-B...)."""


def _again(kind: type[PlombaError], args: tuple[Any, ...]) -> PlombaError:
    return kind.__new__(kind, *args)
