"""By which rule a metering point's id is written, and what is wrong in one that does not follow it.

HU: the metering code that Hungary, Austria and Germany share (MeteringCode, VDE-AR-N 4400): country, 6 digits of the
network operator, 5 and 20 characters that the operator gives (seen: HU000210F11-S00000000000016049191).
GSRN (GS1 General Specifications 7.9): 17 digits and a check digit, weights 3 and 1 from the right; PL and NO use it.
EIC (ENTSO-E, The Energy Identification Coding Scheme): 15 characters and a check character, modulo 37; UA uses it.
"""

from __future__ import annotations

from collector.faults import MasterDataError, PointIdError
from collector.master.points import Scheme

_DIGITS = "0123456789"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_EIC = _DIGITS + _CAPITALS + "-"  # a character's value is its place here
HU, GSRN, EIC = 33, 18, 16  # characters
NAME = 64  # characters of a utility's own id, and of the names of meters, registers, channels
SHOWN = 48  # characters of what is none in a message


def check(scheme: Scheme, text: str) -> None:
    """Pass when the id follows the rule of its scheme.

    Raises:
        PointIdError: what was expected, and which character (counted from 1) is wrong.
    """
    {Scheme.HU: _hu, Scheme.GSRN: _gsrn, Scheme.EIC: _eic, Scheme.FREE: _free}[scheme](text)


def check_name(text: str, what: str) -> None:
    """Pass when a name can be shown, stored and typed again, and never leads out of a folder.

    Raises:
        MasterDataError: which character is wrong.
    """
    if wrong := _bad_name(text):
        raise MasterDataError(*wrong, what)


def gsrn_digit(first: str) -> str:
    """The check digit behind 17 digits."""
    total = sum(int(digit) * (1 if n % 2 else 3) for n, digit in enumerate(reversed(first)))
    return str(-total % 10)


def eic_character(first: str) -> str:
    """The check character behind 15 characters; "-" where the scheme gives none (such a code is not used)."""
    total = sum(_EIC.index(character) * weight for character, weight in zip(first, range(EIC, 1, -1), strict=True))
    return _EIC[36 - (total - 1) % 37]


def _hu(text: str) -> None:
    if not text.startswith("HU"):
        raise _wrong(Scheme.HU, "HU at the beginning", text[:2] or "nothing", text)
    _each(Scheme.HU, text[:8], _DIGITS, "6 digits of the network operator after HU", 2)
    _each(Scheme.HU, text, _EIC, "capitals, digits and -", 8)
    _length(Scheme.HU, text, HU)


def _gsrn(text: str) -> None:
    _each(Scheme.GSRN, text, _DIGITS, "digits alone", 0)
    _length(Scheme.GSRN, text, GSRN)
    _last(Scheme.GSRN, text, gsrn_digit(text[:-1]), "check digit")


def _eic(text: str) -> None:
    _each(Scheme.EIC, text, _EIC, "capitals, digits and -", 0)
    _length(Scheme.EIC, text, EIC)
    expected = eic_character(text[:-1])
    if expected == "-":
        raise _wrong(Scheme.EIC, "a code that has a check character", "one whose check character would be -", text)
    _last(Scheme.EIC, text, expected, "check character")


def _free(text: str) -> None:
    if wrong := _bad_name(text):
        raise PointIdError(*wrong, _where(Scheme.FREE, text))


def _each(scheme: Scheme, text: str, allowed: str, expected: str, start: int) -> None:
    for n, character in enumerate(text[start:], start + 1):
        if character not in allowed:
            raise _wrong(scheme, expected, f"{_shown(character)} as character {n}", text)


def _length(scheme: Scheme, text: str, expected: int) -> None:
    if len(text) != expected:
        raise _wrong(scheme, f"{expected} characters", f"{len(text)}", text)


def _last(scheme: Scheme, text: str, expected: str, what: str) -> None:
    if text[-1] != expected:
        got = f"{text[-1]} as character {len(text)}, or another one is wrong"
        raise _wrong(scheme, f"{expected} as {what}", got, text)


def _bad_name(text: str) -> tuple[str, str] | None:
    """What was expected of a name, and what came; None when it is one."""
    if not 1 <= len(text) <= NAME:
        return f"1 to {NAME} characters", f"{len(text)}"
    if text != text.strip():
        return "a name without blanks at its ends", _shown(text)
    for n, character in enumerate(text, 1):
        if not character.isprintable() or character == "\\":
            return "characters that can be printed, and no \\", f"{_shown(character)} as character {n}"
    if text.startswith("/") or ".." in text:
        return "no / at the beginning and no ..", _shown(text)
    return None


def _wrong(scheme: Scheme, expected: str, got: str, text: str) -> PointIdError:
    return PointIdError(expected, got, _where(scheme, text))


def _where(scheme: Scheme, text: str) -> str:
    return f"point id {_shown(text)} (scheme {scheme.value})"


def _shown(text: str) -> str:
    plain = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    return plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 4]} ..."
