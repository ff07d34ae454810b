"""Where the real telegrams are: ../shared/data beside the repository, or PLOMBA_SHARED."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of M-Bus telegrams; tests that need it are skipped where it is absent."""
    named = os.environ.get("PLOMBA_SHARED")
    roots = [Path(named)] if named else [parent / "shared" for parent in REPOSITORY.parents]
    for root in roots:
        if (root / "data" / "mbus").is_dir():
            return root / "data" / "mbus"
    pytest.skip("the shared telegrams are not here (set PLOMBA_SHARED)")


@pytest.fixture(scope="session")
def telegrams(corpus: Path) -> dict[str, bytes]:
    """The real telegrams by name."""
    found = {path.stem: octets_of(path) for path in sorted((corpus / "frames").glob("*.hex"))}
    assert len(found) == 51
    return found


def octets_of(path: Path) -> bytes:
    """The bytes written in hex in a file."""
    return bytes.fromhex(re.sub(r"\s", "", path.read_text()))
