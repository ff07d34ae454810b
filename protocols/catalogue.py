"""Every error code of the product, as data: `catalogue.json` is made from the classes by tools/generate.py.

Neither daemon may import the other, and a technician's question about a code of the other is a fair one.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_name("catalogue.json")
WHO = {
    "C": "the technician: it is the configuration or an argument",
    "M": "the technician at the meter",
    "L": "whoever keeps the line or the network",
    "S": "whoever keeps the machine and its disk",
    "P": "the operator: the other side broke the contract",
    "X": "the operator, with care: a signature, key or certificate does not hold",
    "B": "the makers: please report it with the message",
}

_FORM = re.compile(r"PLB-([A-Z])([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One code: what it means, who can remedy it, what to do, and a message as it may look."""

    code: str
    name: str
    meaning: str
    who: str
    do: str
    example: str

    def page(self) -> str:
        """What `explain` prints."""
        parts = ((self.code, self.meaning), ("who", self.who), ("do", self.do), ("example", self.example))
        return "\n".join(f"{name:10}{text}" for name, text in parts)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All codes, in order."""

    entries: tuple[Entry, ...]

    def page(self, code: str | None, as_json: bool) -> tuple[str, bool]:
        """The page of a code, or the list of all; and whether the code is known."""
        if code is None:
            lines = (f"{each.code}  {each.meaning.partition(';')[0]}" for each in self.entries)
            return (
                json.dumps([asdict(each) for each in self.entries], indent=1) if as_json else "\n".join(lines)
            ), True
        wanted = normal(code)
        for each in self.entries:
            if each.code == wanted:
                return (json.dumps(asdict(each), indent=1) if as_json else each.page()), True
        near = self._near(wanted)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; 'explain' without a code lists them all"
        return f"expected an error code, got {code[:40]!r}{hint}", False

    def _near(self, wanted: str) -> list[str]:
        """The codes of the same branch whose numbers are nearest, else those that are written most alike."""
        codes = [each.code for each in self.entries]
        found = _FORM.fullmatch(wanted)
        branch = [each for each in codes if found and each.startswith(f"PLB-{found[1]}")]
        if found and branch:
            return sorted(branch, key=lambda each: abs(int(each[5:]) - int(found[2])))[:3]
        return difflib.get_close_matches(wanted, codes, 3, 0.6)


def normal(code: str) -> str:
    """A code as it is written: "c220" is PLB-C220."""
    found = code.strip().strip(":.,").upper()
    return found if found.startswith("PLB-") else f"PLB-{found.removeprefix('PLB')}"


def read_catalogue() -> Catalogue:
    """The catalogue of this version."""
    return Catalogue(tuple(Entry(**each) for each in json.loads(FILE.read_text(encoding="utf-8"))))
