"""The locator: every value of any document is found where it stands; whatever bytes come, a value or a named error."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collector.config import Config
from gateway.config import Configuration
from gateway.config_file import check_configuration
from protocols.settings import mend
from protocols.settings.document import Document, parse
from protocols.settings.locate import KeyPath, locate
from protocols.settings.model import model_of, value_of
from protocols.settings.problems import ReportedError, report
from protocols.settings.reading import leaves, read

EXAMPLES = Path(__file__).parents[2] / "config"

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
QUOTED = TEXT.map(lambda text: json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f"))
LITERAL = st.from_regex(r"[ -&(-~äß#\[\]=]{0,9}", fullmatch=True).map(lambda text: f"'{text}'")
LONG = st.sampled_from(['"""a\n"b"""', '"""\n  x = 1\n[no]\n"""', "'''\n'y''z'''", '"""q\\\n   w"""""', "''''x''''"])
SCALAR = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.sampled_from(["true", "false", "0x1F", "1_000", "1.5e3", "inf", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00"]),
    QUOTED,
    LITERAL,
    LONG,
)
SPACE = st.sampled_from(["", " ", "\t", "  "])
BREAK = st.sampled_from(["", " ", "\n", "\n  ", " # a ] comment\n", "\n# x\n\n"])
KEY = st.one_of(BARE, QUOTED, LITERAL)
END = st.sampled_from(["\n", " # comment = 1\n", "\n\n# [not] = a table\n", "\r\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    """A value: a scalar, a list over several lines, or an inline table."""
    kind = draw(st.sampled_from(["scalar", "list", "table"])) if depth else "scalar"
    if kind == "scalar":
        return draw(SCALAR)
    inner = draw(st.lists(values(depth - 1), max_size=3))
    if kind == "list":
        return f"[{draw(BREAK)}" + f"{draw(BREAK)},{draw(BREAK)}".join(inner) + f"{draw(BREAK)}]"
    pairs = [f"{own(draw, n)}{draw(SPACE)}={draw(SPACE)}{each}" for n, each in enumerate(inner)]
    return "{ " + ", ".join(pairs) + " }"


def own(draw: st.DrawFn, number: int) -> str:
    """A key that no other number gives: bare, quoted, or quoted with an escape."""
    key = draw(KEY)
    return f"{key[:-1]}{number}{key[-1]}" if key[0] in "\"'" else f"{key}{number}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A TOML document: pairs with dotted keys, tables, arrays of tables within arrays of tables."""
    text = ""
    for number in range(draw(st.integers(1, 9))):
        path = f"{draw(SPACE)}.{draw(SPACE)}".join([own(draw, number), *draw(st.lists(KEY, max_size=2))])
        kind = draw(st.sampled_from(["pair", "pair", "pair", "table", "array", "inner"]))
        if kind == "pair":
            text += f"{draw(SPACE)}{path}{draw(SPACE)}={draw(SPACE)}{draw(values())}"
        elif kind == "table":
            text += f"[{draw(SPACE)}{path}{draw(SPACE)}]"
        elif kind == "array" or "[[ bus ]]" not in text:
            text += "[[ bus ]]"
        else:
            text += draw(st.sampled_from(["[[bus.device]]", "[[ 'bus' . \"device\" ]]", f"[bus.{own(draw, number)}]"]))
        text += draw(END)
    return text


def at(text: str, line: int, column: int) -> str:
    """The text from a place on."""
    return "\n".join(text.split("\n")[line - 1 :])[column - 1 :]


def starts_with_key(text: str, key: str | int) -> bool:
    """Whether a key, bare or in quotes, begins the text; an element of a list begins with its value."""
    if isinstance(key, int):
        return bool(text)
    if text.startswith(("'", '"')):
        return next(iter(tomllib.loads(f"{quoted(text)} = 1"))) == key
    return text.startswith(key)


def quoted(text: str) -> str:
    """The quoted key at the beginning of a text."""
    end = 1
    while text[end] != text[0]:
        end += 2 if text[0] == '"' and text[end] == "\\" else 1
    return text[: end + 1]


def same(one: Any, other: Any) -> bool:
    """Equal, and NaN too."""
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - NaN


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_every_leaf_is_found_where_it_stands(text: str) -> None:
    """Its place starts with its key, and its value's text parses to its value."""
    found = parse("f.toml", text)
    if not isinstance(found, Document):
        return
    plain = text.replace("\r\n", "\n")
    assert not found.places.lost, found.places.lost
    assert not found.places.doubled
    for path, value in leaves(found.table):
        place = found.places.places[path]
        assert starts_with_key(at(plain, place.line, place.column), path[-1])
        assert same(tomllib.loads(f"key = {place.text}")["key"], value)


def test_a_document_that_has_everything() -> None:
    """Arrays of tables in arrays of tables, dotted and quoted keys, lists over lines, comments in them."""
    text = (EXAMPLES / "gateway.example.toml").read_text(encoding="utf-8")
    text += 'x.y."z w" = [ # one\n  1,\n\n  { a = "]" }, # two\n]\n'
    found = locate(text)
    path: KeyPath = ("bus", 3, "device", 1, "x", "y", "z w", 1, "a")
    place = found.of(path)
    assert at(text, place.line, place.column).startswith('a = "]"')
    assert at(text, found.of(("bus", 1, "device", 0, "auth")).line, 1).startswith("auth")
    assert found.lost is None


def mutated() -> st.SearchStrategy[bytes]:
    """The example with some bytes replaced, inserted or cut."""
    octets = (EXAMPLES / "gateway.example.toml").read_bytes()
    lines = [each for each in octets.split(b"\n") if each and not each.startswith(b"# ")]
    piece = st.one_of(
        st.binary(max_size=4), st.sampled_from(list(b"[]{}=\"'\\.,#\n\r\t")).map(lambda each: bytes([each]))
    )

    def cut(start: int, length: int, with_piece: bytes) -> bytes:
        text = b"\n".join(lines)
        start %= len(text)
        return text[:start] + with_piece + text[start + length :]

    return st.builds(cut, st.integers(0, 10**6), st.integers(0, 12), piece)


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.one_of(mutated(), mutated(), st.binary(max_size=60), TEXT.map(str.encode)))
@example(b"a = 1979-05-27T25:00:00Z")
@example(b'a."\\ud800" = 1')
@example(b"[[a]]\n[a]\n[[a.b]]\n")
@example(b"bus = [[1], {protocol = 3}, 'x', {protocol = 'dlms', device = [1, {}]}]")
@example(b"gateway = [[[[[1]]]]]\n[broker.host.port]\n[bus.0.device]\n")
def test_whatever_bytes_come_a_problem_or_a_value_is_the_answer(octets: bytes) -> None:
    """Never another exception; each problem lies inside the file, and can be shown."""
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    found = parse("f.toml", text)
    problems = [found] if not isinstance(found, Document) else all_problems(found)
    count = text.count("\n") + 1
    assert all(0 < each.line <= count and each.column > 0 for each in problems)
    report(problems)


@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.one_of(mutated(), mutated(), TEXT.map(str.encode)))
@example(b"[[bus.device]]")
@example(b"[bus]\n[[bus.device]]\n[bus.device]\n[[broker]]\n[broker]\n[[broker]]")
@example(b"[[bus]\n[bus]]\n[[bus]]]\n[[[bus]]]")
def test_reading_over_slips_ends_with_problems_in_the_file(octets: bytes) -> None:
    """Never another exception; what was read over is a problem, and a file without slips is read as it is."""
    try:
        text = octets.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return
    found, plain = mend.parse("f.toml", text, model_of(Configuration)), parse("f.toml", text)
    problems = found if isinstance(found, tuple) else all_problems(found)
    assert problems or plain == found
    assert all(0 < each.line <= text.count("\n") + 1 and each.column > 0 for each in problems)
    report(problems)


def all_problems(document: Document) -> Any:
    """As `check` finds them, without a file."""
    from gateway.config_file import _checked  # noqa: PLC0415 - what a file's document goes through

    return _checked(document, Path("/nowhere")).problems


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(mutated() | st.binary(max_size=80))
def test_whatever_a_file_holds_both_loaders_name_it(tmp_path_factory: pytest.TempPathFactory, octets: bytes) -> None:
    """Through the file, other encodings included."""
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(octets)
    reports = []
    for load in (check_configuration, Config.from_toml):
        try:
            load(path)
        except ReportedError as error:
            reports.append(error.report(colour=True))
    assert all("\n" in each for each in reports)


def test_a_value_without_problems_is_read() -> None:
    """The example, as it is."""
    found = parse("f.toml", (EXAMPLES / "gateway.example.toml").read_text(encoding="utf-8"))
    assert isinstance(found, Document)
    value, problems = read(found, model_of(Configuration))
    assert problems == []
    assert value is not None
    assert len(value_of(value).bus) == 4
