"""What `init` has so far: a configuration that grows line by line in a file beside the one that it becomes.

Nothing but that file and the scan's state is written before the end; the configuration appears whole.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config import Configuration
from gateway.config_file import configuration_from
from gateway.faults import DraftUnreadable
from gateway.files import sync_folder, write_whole

Row = dict[str, Any]
MAX_SIZE = 1024 * 1024  # bytes; a thousand meters come to a fifth of it
HEAD = (
    "# Written by plomba-gateway init; plomba-gateway check reads it, config/gateway.example.toml explains the keys.\n"
)


@dataclass(slots=True)
class Draft:
    """The tables of a configuration: gateway, folders, broker and its buses; and the answers of the line in work."""

    head: Row
    buses: list[Row] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As the file has it."""
        parts = [HEAD + _keys(self.head), "[broker]\n" + _keys(self.head["broker"])]
        for bus in self.buses:
            parts.append("[[bus]]\n" + _keys(bus))
            parts += ["[[bus.device]]\n" + _keys(each) for each in bus["device"]]
        return "\n".join(parts)

    def checked(self, path: Path, *more: Row) -> Configuration:
        """The configuration that it comes to, with these lines, too.

        Raises:
            BadConfiguration: it has faults.
        """
        text = Draft(self.head, [*self.buses, *more]).text
        return configuration_from(tomllib.loads(text), path.absolute().parent, str(path))


def beside(path: Path, what: str) -> Path:
    """The file of a run that is not at its end."""
    return path.with_name(f"{path.name}.{what}")


def maybe_read(path: Path) -> Draft | None:
    """What was left for the configuration `path`; None where nothing was.

    Raises:
        DraftUnreadable: it is no draft.
    """
    file = beside(path, "draft")
    if not file.exists():
        return None
    try:
        if file.stat().st_size > MAX_SIZE:
            raise ValueError(f"more than {MAX_SIZE} bytes")
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return _draft(table)
    except (KeyError, TypeError, ValueError) as error:
        raise DraftUnreadable("what a run of init left", f"something else: {error}", str(file)) from None


def keep(path: Path, draft: Draft) -> None:
    """Write it down, durably."""
    line = "\n[line]\n" + _keys(draft.answers) if draft.answers else ""
    write_whole(beside(path, "draft"), (draft.text + line).encode())


def remove(path: Path) -> None:
    """The configuration is written: nothing is left."""
    for what in ("draft", "scan"):
        beside(path, what).unlink(missing_ok=True)
    sync_folder(path.absolute().parent)


def _draft(table: Row) -> Draft:
    buses, answers = table.pop("bus", []), table.pop("line", {})
    if not all(isinstance(bus, dict) and isinstance(bus["device"], list) for bus in buses):
        raise ValueError("a line without meters")
    if not isinstance(table["broker"], dict) or not all(isinstance(each, str) for each in answers.values()):
        raise ValueError("no broker, or answers that are no texts")
    return Draft(table, buses, dict(answers))


def _keys(table: Row) -> str:
    plain = {key: value for key, value in table.items() if not isinstance(value, (dict, list))}
    return "".join(f"{_key(key)} = {json.dumps(value)}\n" for key, value in plain.items())


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
