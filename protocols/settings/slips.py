"""Slips that any settings file may have: hosts that are none, and folders that are not where they seem to be."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator

from protocols.settings.document import Document
from protocols.settings.locate import KeyPath
from protocols.settings.problems import Problem

HOST_CHARACTERS = 253  # of a host name, as DNS has it

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBERS = re.compile(r"[0-9.]*\.?[0-9]+\.?")
_WITH_PORT = re.compile(r"(?P<host>[^:/\s\[\]]+):(?P<port>[0-9]+)/?|\[(?P<six>[0-9A-Fa-f:.]+)\](?::[0-9]*)?")
_URL = re.compile(r"[A-Za-z+.-]+://(?:[^/@]*@)?(?P<rest>[^/]*).*")


def hosts(document: Document, *paths: KeyPath) -> Iterator[Problem]:
    """Texts at `paths` that are neither a host name nor an address."""
    for path in paths:
        value = _text(document, path)
        step = amiss(value) if value else None
        if step is not None:
            near, do = step
            written = document.written(path)
            near = f'"{near}"' if near else ""
            yield document.problem(path, "a host name or address alone", written, near=near, do=do)


def amiss(host: str) -> tuple[str, str] | None:
    """Why a text is no host: the host in it (or ""), and what to do; None for a host."""
    if len(host) > HOST_CHARACTERS:
        return "", f"a host name has at most {HOST_CHARACTERS} characters"
    within = _within(host)
    if within is not None or _is_address(host):
        return within
    if _NUMBERS.fullmatch(host):
        return "", "an address is four numbers from 0 to 255 with points, without zeros before them"
    if not _NAME.fullmatch(host):
        return "", "a host name has letters, digits, - and points, and no blanks"
    return None


def folders(document: Document, *paths: KeyPath) -> Iterator[Problem]:
    """Paths that begin with ~ or are the whole disk."""
    for path in paths:
        value = _text(document, path)
        if value.startswith("~"):
            do = "write the whole path, from /: no shell reads this file, so that ~ would be a folder of that name"
            yield document.problem(path, "a path without ~", document.written(path), do=do)
        elif value and not os.path.normpath(value).strip("/"):
            do = f"write a folder of its own below /, as /var/lib/plomba/{str(path[-1]).partition('_')[0]}"
            yield document.problem(path, "a place of its own", document.written(path), do=do)


def apart(document: Document, one: KeyPath, other: KeyPath) -> Iterator[Problem]:
    """Two paths of the file's folder that are one; the second is named."""
    values = _text(document, one), _text(document, other)
    if all(values) and _absolute(document, values[0]) == _absolute(document, values[1]):
        words = f"another path than that of {one[-1]}"
        do = f"give {other[-1]} a place of its own: keys are kept when the rest is moved or thrown away"
        yield document.problem(other, words, document.written(other), do=do)


def _within(text: str) -> tuple[str, str] | None:
    """The host in an url, or before a port, and what to do; None where a text is neither."""
    url = _URL.fullmatch(text)
    inner = _WITH_PORT.fullmatch(text if url is None else url["rest"])
    if url is None and inner is None:
        return None
    near = (inner["host"] or inner["six"]) if inner is not None else url["rest"] if url is not None else ""
    near = near if amiss(near) is None else ""
    if url is not None:
        return near, "write the host without //: TLS is always used, and the port is a key"
    return near, "write the host alone; its port goes into port = NUMBER"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _absolute(document: Document, path: str) -> str:
    return os.path.abspath(os.path.join(os.path.dirname(document.file), path))  # noqa: PTH100, PTH118, PTH120 - of a text


def _text(document: Document, path: KeyPath) -> str:
    """The text at a path of tables; empty where there is none, or one that is told elsewhere."""
    value: object = document.table
    for each in path:
        if isinstance(value, dict) and isinstance(each, str):
            value = value.get(each)
        elif isinstance(value, tuple) and isinstance(each, int):
            value = value[each]
    return value if isinstance(value, str) and value.isprintable() else ""
