"""Takes out of a text what may be a secret, before it is shown to somebody else.

Three sieves, each for what the others cannot know: the secrets that this gateway has (every file and credential that
holds one, as text, hex and base64, in any case), what a name or a place says (a password's key, the user of a URL), and
what looks like a key (long hex, long base64). A comment may say anything: none is shown. What is left out is `...`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from protocols.settings.problems import hides, secret

OUT = "..."
LEAST = 4  # bytes of a secret that is looked for: a shorter one would be found in everything
LONG, DIGITS = 32, 2  # a word that is as long and has as many digits, all in one case, is taken for a key
_USER = re.compile(r"(?<=//)[^/\s\"'@]{1,256}@|(?<![^\s\"'/@=:])[^\s\"'/@=:]{1,64}:[^\s\"'/@]{1,256}@(?=[\w.-])")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[ :,-]?){8,}[0-9A-Fa-f]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_NAMED = re.compile(r"(?<![\w/.-])([\w-]+)([\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;}]+)")
_LINE = re.compile(r"^(\s*[\w.\"'-]+\s*=\s*)(.*)$")
_HEADER = re.compile(r"^\s*\[\[?[\w.\" -]+\]\]?\s*$")
_SCALAR = re.compile(r"^(\"[^\"\\]*\"|'[^']*'|[0-9_+-]+|true|false)(?=\s*(#|$))")
_ITEM = r"(\"[^\"\\]*\"|'[^']*'|[0-9_+-]+)"
_LIST = re.compile(rf"^\[\s*({_ITEM}(\s*,\s*{_ITEM})*\s*,?)?\s*\](?=\s*(#|$))")


@dataclass(frozen=True, slots=True)
class Sieve:
    """What is known to be secret, as a pattern (None: nothing), and words that are shown though they look like keys."""

    known: re.Pattern[str] | None
    shown: frozenset[str]

    @classmethod
    def of(cls, secrets: Iterable[bytes], shown: Iterable[str] = ()) -> Sieve:
        """Of the secrets; `shown` are words like paths that exist."""
        forms = sorted({form for each in secrets for form in forms_of(each)}, key=lambda each: (-len(each), each))
        known = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None
        clean = {each for each in shown if known is None or not known.search(each)}
        return cls(known, frozenset(clean))

    def text(self, text: str) -> str:
        """A text without secrets; its lines stay lines."""
        text = self.known.sub(OUT, text) if self.known is not None else text
        text = _NAMED.sub(lambda found: _without(found) if secret(found[1]) else found[0], _USER.sub(f"{OUT}@", text))
        return _BASE64.sub(self._judged, _HEX.sub(self._judged, text))

    def tree(self, found: object, name: str = "") -> object:
        """JSON's content without secrets: every text in it, and what stands under a secret's name."""
        match found:
            case dict():
                return {str(key): self.tree(each, str(key)) for key, each in found.items()}
            case list() | tuple():
                return [self.tree(each, name) for each in found]
            case str():
                return OUT if found and secret(name) else self.text(found)
        return found

    def toml(self, text: str, known: Collection[str], faulty: Collection[int]) -> str:
        """A configuration by lines: tables, and plain values of `known` keys; no comment, no value of a faulty line.

        A key that nobody knows may be a misspelt password, and a value that does not belong there anything.
        """
        lines = enumerate(text.split("\n"), 1)
        return "\n".join(self._toml_line(line, () if number in faulty else known) for number, line in lines)

    def _toml_line(self, line: str, known: Collection[str]) -> str:
        if not line.strip():
            return ""
        if _HEADER.match(line.partition("#")[0]):
            return self.text(line.partition("#")[0].rstrip())
        found = _LINE.match(line)
        if found is None:
            return f"# {OUT}"
        value = _SCALAR.match(found[2]) or _LIST.match(found[2])
        before = self.text(found[1])
        name = found[1].partition("=")[0].strip().rpartition(".")[2].strip("\"'")
        if value is None or name not in known or hides(f"{found[1]}{value[0]}"):
            return f'{before}"{OUT}"'
        return before + self.text(value[0])

    def _judged(self, found: re.Match[str]) -> str:
        word = found[0]
        around = _word_around(found.string, found.start(), found.end())
        if around in self.shown or not _like_a_key(word):
            return word
        return OUT


def forms_of(octets: bytes) -> set[str]:
    """How a secret may be written: as it is, in hex, in base64 (wherever it begins in the encoded); short ones not."""
    if len(octets) < LEAST:
        return set()
    forms = {octets.hex(), octets.hex(" "), octets.hex(":")}
    try:
        text = octets.decode()
        forms |= {text, repr(text)[1:-1], text.encode("unicode_escape").decode()}
        if re.fullmatch(r"[0-9A-Fa-f]{8,}", text) and len(text) % 2 == 0:
            forms |= forms_of(bytes.fromhex(text)) if len(text) >= 2 * LEAST else set()
    except UnicodeDecodeError:
        pass
    for ahead in range(3):
        whole = base64.b64encode(bytes(ahead) + octets).decode()
        # The first characters are of what stands before it, the last ones of what follows: the middle is its own.
        middle = whole[-(-8 * ahead // 6) : len(whole.rstrip("=")) - 1]
        forms |= {middle, middle.translate(str.maketrans("+/", "-_"))} if len(middle) >= LEAST + 1 else set()
    return {each for each in forms if len(each) >= LEAST}


def secrets_of(octets: bytes) -> set[bytes]:
    """What of a secret file's content is secret: all of it, each line, what PEM or hex in it stand for."""
    lines = [each.strip() for each in octets.splitlines() if each.strip()]
    found = {octets.strip(b"\r\n"), *(each for each in lines if not each.startswith(b"-----"))}
    body = b"".join(each for each in lines if not each.startswith(b"-----"))
    if b"-----BEGIN" in octets:
        found.discard(octets.strip(b"\r\n"))
        try:
            der = base64.b64decode(body, validate=True)
        except ValueError:
            return found
        found |= {der, der[-32:]}  # PKCS #8 of Ed25519 and X25519 ends with the key itself
    return found


def _without(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{OUT}"


def _word_around(text: str, start: int, end: int) -> str:
    """The word, between blanks, quotes and the like, in which a piece lies."""
    stops = " \t\n\"'(),;:="
    while start and text[start - 1] not in stops:
        start -= 1
    while end < len(text) and text[end] not in stops:
        end += 1
    return text[start:end]


def _like_a_key(word: str) -> bool:
    """Whether a long word looks drawn and not written: hex, small and capital letters, or long with some digits."""
    if re.fullmatch(r"[0-9A-Fa-f :,-]+", word):
        return True
    mixed = any(each.islower() for each in word) and any(each.isupper() for each in word)
    return mixed or (len(word) >= LONG and sum(each.isdigit() for each in word) >= DIGITS)
