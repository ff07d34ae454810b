"""Each test that a page names is there, and each line of its tables names one, or says why it has none."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(\w+)/(test_\w+)::(test_\w+)`")
PAGES = {
    "clock": [str(number) for number in range(1, 10)],
    "trust": [
        f"{letter}{number:02}"
        for letter, last in (("G", 22), ("L", 12), ("C", 7), ("A", 8))
        for number in range(1, last + 1)
    ],
}


def lines(page: str) -> dict[str, str]:
    """The lines of a page's table by the number of the rule or fault that they begin with."""
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^\| ([A-Z]?[0-9]+)\b.*$", text, re.MULTILINE)}


@cache
def named_in(folder: str, module: str) -> frozenset[str]:
    """The tests in a file; none where there is no such file."""
    path = ROOT / "tests" / folder / f"{module}.py"
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module([], [])
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    """And each line that must stand in it does, with a test, or with the reason why it has none."""
    found = lines(page)
    assert list(found) == PAGES[page]
    for line in found.values():
        named = NAMED.findall(line)
        assert named or "| None: " in line, line
        assert [each for each in named if each[2] not in named_in(*each[:2])] == []
