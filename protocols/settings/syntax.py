"""What is probably wrong where a text is no TOML: tomllib's place, and the slips that hands usually make."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocols.settings.locate import KeyPath, Places

IDENTIFICATION = 8  # digits of an M-Bus identification number
DIGITS = 4_300  # of a number: Python reads no longer ones

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_CURLY = re.compile("[\u201c\u201d\u201e\u201a\u2018\u2019\u00ab\u00bb\u2033]")
_WINDOWS = re.compile(r"\\(?![\"\\bfnrt])|[A-Za-z]:\\|\\\\")
_ASSIGNED = re.compile(r"^\s*[\w.\"'-]+\s*=\s*(?P<value>.*?)\s*(?:#.*)?$")
_NUMBER_AND_UNIT = re.compile(r"[+-]?\d[\d_.]*\s*[A-Za-z%]+")
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_TIME = re.compile(r"^\s*\w+_s\s*=\s*(?P<time>(?P<number>\d{1,6})\s*(?P<unit>[A-Za-z]+))\s*(?:#.*)?$")
_SECONDS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3_600,
    "hour": 3_600,
    "d": 86_400,
    "day": 86_400,
}
_YES = ("true", "yes", "on", "ja")
_NO = ("false", "no", "off", "nein")


@dataclass(frozen=True, slots=True)
class Guess:
    """A place, what TOML wants there, what stands there, and what to do about it."""

    line: int
    column: int
    expected: str
    got: str
    do: str
    near: str = ""


def guess(text: str, places: Places, error: Exception) -> Guess:
    """What is wrong with a text that tomllib refused by `error`."""
    message = str(error)
    lines = text.split("\n")
    line, column = _place(message, lines)
    if 'Expected "\'"' in message and places.lost is not None:  # tomllib looks for the quote to the file's end
        line, column = text.count("\n", 0, places.lost.at) + 1, places.lost.at - text.rfind("\n", 0, places.lost.at)
    if isinstance(error, RecursionError) or "deep" in message:
        return Guess(
            line, column, "at most 32 brackets in each other", "more", "close each [ and { where its list ends"
        )
    if "digits" in message:
        return _long_number(lines)
    if "twice" in message or "overwrite" in message or "mutate" in message or "already" in message:
        return _doubled(places, line, column, lines)
    if column == 1 and line > 1 and not lines[line - 1].strip():
        line, column = _last_words(lines, line)
    source = lines[line - 1]
    return _seconds(line, source) or _of_line(source, line, column, _AT.sub("", message))


def meant(source: str, found: Guess, times: int = 0) -> str | None:
    """The line as it was probably meant; None where reading on would only guess.

    Args:
        source: the line as it stands.
        found: what is wrong with it.
        times: how often the line was guessed before: then its value is left out, and at last the line.
    """
    if times > len(_STEPS) or found.expected.startswith(_ENDS) or not _whole(source):
        return None
    for step in _STEPS[times:]:
        line = step(source, found)
        if line is not None and line != source:
            return line
    return "#"


def _likely(source: str, found: Guess) -> str | None:
    """With the slip put right."""
    at, header = found.column - 1, _header(source.partition("#")[0].strip())
    if header is not None:
        return header
    if _CURLY.search(source):
        return _CURLY.sub('"', source)
    if found.expected.startswith("]"):
        return source[:at].rstrip("] ") + found.expected.split()[0]
    if found.expected == "= after the key":
        return f"{source[:at]} = {source[at:].lstrip(': ')}"
    value = None if found.expected.endswith(" once") else _ASSIGNED.match(source)
    return None if value is None else _valued(source[: value.start("value")], value["value"], found)


def _header(source: str) -> str | None:
    """The header that a line seems to be: in other brackets, or with a colon behind it."""
    name = source.strip(" \t[](){}:")
    if not re.fullmatch(r"[\w.-]+", name) or not (source[0] in "[({" or source.endswith(":")):
        return None
    return f"[[{name}]]" if source.count("[") > 1 else f"[{name}]"


def _valued(before: str, written: str, found: Guess) -> str | None:
    if found.near:
        return before + found.near
    if found.do.startswith("add the closing "):
        return before + written + found.do[-1]
    return f"{before}'{written[1:-1]}'" if "backslash" in found.expected else None


def _empty(source: str, found: Guess) -> str | None:
    """With a value that is any."""
    value = _ASSIGNED.match(source)
    return None if value is None or found.expected.endswith(" once") else source[: value.start("value")] + "0"


_STEPS = (_likely, _empty)
_ENDS = (
    "] at the end",
    "} at the end",
    "at most 32",
    "a number of at most",
    "[",
    "each key and table",
    "= and a value",
)


def _whole(source: str) -> bool:
    """Whether a line is one by itself: no list, table or text goes on below it."""
    pairs = (("[", "]"), ("{", "}"))
    header = source.lstrip().startswith("[")
    return (
        '"""' not in source
        and "'''" not in source
        and (header or all(source.count(one) == source.count(other) for one, other in pairs))
    )


def _place(message: str, lines: list[str]) -> tuple[int, int]:
    found = _AT.search(message)
    if found is None or found.group(1) is None:
        return _last_words(lines, len(lines))
    return min(int(found.group(1)), len(lines)), int(found.group(2))


def _last_words(lines: list[str], line: int) -> tuple[int, int]:
    """The end of the last line at or above `line` that says something."""
    while line > 1 and not lines[line - 1].strip():
        line -= 1
    return line, len(lines[line - 1].rstrip()) + 1


def _of_line(source: str, line: int, column: int, message: str) -> Guess:
    value = _ASSIGNED.match(source)
    written = value["value"] if value else ""
    start = value.start("value") + 1 if value else column
    curly = _CURLY.search(source)
    if curly:
        do = f'write " in place of {curly.group()}: word processors and chats change quotes'
        return Guess(line, curly.start() + 1, 'straight quotes "..."', curly.group(), do)
    if written.startswith('"') and ("Unescaped" in message or "hex" in message or "scalar" in message):
        at = source.find("\\") + 1
        do = (
            "write it in single quotes, '...', or with / in place of \\: within double quotes a backslash has a meaning"
        )
        return Guess(line, max(at, 1), "no backslash in double quotes", written, do)
    if "Expected '='" in message or "Invalid initial character for a key" in message or "Invalid statement" in message:
        return _statement(source, line, column)
    if "Illegal character" in message or "Unterminated" in message or 'Expected "\'"' in message:
        return _open_string(source, line, start, written)
    if "Invalid value" in message:
        return _value(line, start, written)
    return _after(source, line, column, message, start, written)


def _statement(source: str, line: int, column: int) -> Guess:
    stripped = source.strip()
    at = len(source) - len(source.lstrip()) + 1
    word = re.match(r"[\w.-]+", stripped)
    if word and not stripped.startswith("--"):
        return _after_key(source, line, at, word.group(), stripped[word.end() :].lstrip())
    wanted = "a key, a [table] or a # comment"
    do = "write KEY = VALUE, [table] or # comment; a key has letters, digits, - and _ (others in quotes)"
    if stripped.startswith(("//", ";", "/*", "--")):
        do = "begin a comment with #"
    elif stripped.startswith("="):
        wanted, do = "a key before =", "write KEY = VALUE"
    elif stripped.startswith("["):
        do = "write [name], or [[name]] where there may be several"
        return Guess(line, column, "a name in brackets", stripped, do)
    return Guess(line, at if stripped else column, wanted, stripped or "nothing", do)


def _after_key(source: str, line: int, at: int, word: str, rest: str) -> Guess:
    if rest == ":":
        do = f"write [{word}] if a table begins here, or {word} = VALUE"
        return Guess(line, source.index(":") + 1, "= after the key", ":", do)
    if rest.startswith(":"):
        return Guess(line, source.index(":") + 1, "= after the key", ":", f"write {word} = {rest[1:].strip()}")
    if rest:
        do = "write keys without spaces and umlauts" if rest.startswith("=") else f"write {word} = {rest}"
        return Guess(line, at + len(word), "= after the key", rest, do)
    do = f"write {word} = VALUE, or [{word}] if a table begins here"
    return Guess(line, at + len(word), "= and a value after the key", "the end of the line", do)


def _open_string(source: str, line: int, start: int, written: str) -> Guess:
    sign = "'" if written.startswith("'") else '"'
    odd = re.search(r"[\x00-\x08\x0b-\x1f\x7f]", source)
    if odd:
        do = "delete it and type the line again; it came along with a copied text"
        return Guess(
            line, odd.start() + 1, "text without control characters", f"the character {ord(odd.group()):02x} (hex)", do
        )
    return Guess(line, start, f"a text that ends with {sign}", written or source.strip(), f"add the closing {sign}")


def _value(line: int, start: int, written: str) -> Guess:
    if not written:
        return Guess(line, start, "a value after =", "nothing", "write the value, or put # before the line")
    if written.lower() in _YES + _NO:
        word = "true" if written.lower() in _YES else "false"
        return Guess(line, start, "true or false", written, f"write {word}, in lower case", word)
    if _LEADING_ZERO.fullmatch(written) or _DECIMAL_COMMA.fullmatch(written) or _NUMBER_AND_UNIT.fullmatch(written):
        return _number(line, start, written)
    if written.lower() in {"none", "null", "nil"}:
        return Guess(
            line, start, "a value after =", written, "put # before the line: a key that is left out has its default"
        )
    return Guess(line, start, "a value: text stands in quotes", written, f'write "{written}"', f'"{written}"')


def _seconds(line: int, source: str) -> Guess | None:
    """A time with its unit, where the key wants seconds."""
    found = _TIME.match(source)
    unit = "" if found is None else found["unit"].lower()
    factor = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s"))
    if found is None or factor is None:
        return None
    near = str(int(found["number"]) * factor)
    do = f"write {near}: the key wants seconds, without a unit"
    return Guess(line, found.start("number") + 1, "a number without a unit", found["time"], do, near)


def _number(line: int, start: int, written: str) -> Guess:
    if _LEADING_ZERO.fullmatch(written) and len(written) == IDENTIFICATION:
        do = f'write "{written}": an identification number stands in quotes, with its zeros'
        return Guess(line, start, "a number without zeros before it", written, do, f'"{written}"')
    if _LEADING_ZERO.fullmatch(written):
        plain = str(int(written))
        do = f'write {plain}, or "{written}" where the zeros belong to a name'
        return Guess(line, start, "a number without zeros before it", written, do, plain)
    if _DECIMAL_COMMA.fullmatch(written):
        return Guess(line, start, "a number with a point", written, f"write {written.replace(',', '.')}")
    digits = re.match(r"[+-]?[\d_.]+", written)
    plain = digits.group() if digits else written
    return Guess(
        line, start, "a number without a unit", written, f"write {plain}; the unit stands in the key's name", plain
    )


def _after(source: str, line: int, column: int, message: str, start: int, written: str) -> Guess:
    if written and (
        _LEADING_ZERO.fullmatch(written) or _DECIMAL_COMMA.fullmatch(written) or _NUMBER_AND_UNIT.fullmatch(written)
    ):
        return _number(line, start, written)
    if "Unclosed array" in message:
        return Guess(
            line, column, "] at the end of the list, a comma between its values", source.strip(), "add what is missing"
        )
    if "inline table" in message or "Unclosed inline" in message:
        return Guess(line, column, "} at the end of the table, on the same line", source.strip(), "add what is missing")
    if source.strip().startswith("["):
        signs = "]]" if source.strip().startswith("[[") else "]"
        return Guess(line, column, f"{signs} after the table's name", source.strip(), f"close the header with {signs}")
    rest = source[column - 1 :].strip()
    if rest and "newline" in message:
        return Guess(
            line, column, "the end of the line", rest, "one key on each line; text with spaces stands in quotes"
        )
    return Guess(line, column, "TOML", source.strip() or "nothing", _lower(message))


def _long_number(lines: list[str]) -> Guess:
    line = next((number for number, each in enumerate(lines, 1) if re.search(rf"[\d_]{{{DIGITS}}}", each)), 1)
    return Guess(line, 1, f"a number of at most {DIGITS} digits", "a longer one", "check the line")


def _doubled(places: Places, line: int, column: int, lines: list[str]) -> Guess:
    if not places.doubled:
        do = "give each key once, and a table either by its header or by dotted keys"
        return Guess(line, column, "each key and table once", lines[line - 1].strip(), do)
    path, first, second = places.doubled[0]
    name = _dotted(path)
    if second.text or first.text:
        do = f"keep one of the two lines, {first.line} or {second.line}"
        return Guess(second.line, second.column, f"{name} once", f"a second one, the first is in line {first.line}", do)
    do = f"join the two, or write [[{name}]] at both where there may be several"
    return Guess(second.line, second.column, f"[{name}] once", f"a second one, the first is in line {first.line}", do)


def _dotted(path: KeyPath) -> str:
    return ".".join(each for each in path if isinstance(each, str))


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
