"""Every file beside the daemon: what is read, what is ignored and why, and who may read what is secret.

Looked at are the folders of the configuration, of the keys and of the state, and those in which secrets lie; not what
lies below them.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway import enrol, newcomers, successors
from gateway.findings import Finding, Mark
from gateway.local import SOCKET_FILE
from gateway.lock import LOCK_FILE
from gateway.named import Named
from gateway.pushshown import FILE as PUSH_FILE
from gateway.rights import User, owner_shown
from gateway.schema import BUFFER_FILE, RESERVE_FILE, SIDE_FILES
from protocols.transports.keyfiles import OWNER

MOST = 100  # files of one folder that are named; the rest is counted
PRIVATE = (enrol.SEALING, enrol.BOX, enrol.TLS_KEY)
PUBLIC = (enrol.TRUST, enrol.TLS_CERTIFICATE, enrol.TLS_CA, OWNER)
COUNTERS_FILE = "counters.sqlite3"  # of counters.py, which would load the DLMS codec
TITLE_FILE, SCALES_FILE = "system-title", "scales.plomba"  # ... of dlms_adhoc.py, and scales.py
DATABASES = (BUFFER_FILE, PUSH_FILE, COUNTERS_FILE)
STATE = {RESERVE_FILE, LOCK_FILE, SOCKET_FILE, TITLE_FILE, SCALES_FILE, successors.FILE, newcomers.FILE}
STATE |= {name + end for name in DATABASES for end in ("", *SIDE_FILES)}
_BACKUP = re.compile(
    r"~$|\.(bak|backup|old|orig|save|rej|sw[a-p]|tmp|dpkg-\w+|rpm\w+)$|^#.*#$|^\.#| copy|\(\d+\)", re.I
)
_HALF = re.compile(r"\.new$")
_ASIDE = re.compile(rf"^({'|'.join(re.escape(name) for name in DATABASES)})[.-].*")
_LIKE_TOML = re.compile(r"\.(toml\.\w+|tml|conf|ini|ya?ml|json)$|\.TOML$")
# What a file is by its name, and what to do where somebody may have meant it to be read.
_UNREAD = (
    (_ASIDE, "a database that was set aside: nothing reads it", ""),
    (_BACKUP, "a backup copy", ""),
    (_HALF, "a file that was being written when the machine stopped", "remove it"),
    (
        re.compile(r"\.draft$"),
        "an init that was not finished",
        "give the same 'plomba-gateway init' again: it goes on where it was",
    ),
    (
        re.compile(r"\.toml$"),
        "another configuration: only the file of --config is read",
        "give it with --config if it is the one",
    ),
    (
        _LIKE_TOML,
        "not named like a configuration",
        "rename it to end in .toml and give it with --config, if it is the one",
    ),
)
_UNNAMED = "nothing in the configuration names it"
_CHMOD = "chmod 600 {}; who could read it may have: think about changing what it holds"


def files(named: Named, user: User) -> Iterator[Finding]:
    """What is read, then what is ignored, folder by folder."""
    yield from _read(named, user)
    yield from _ignored(named)


def _read(named: Named, user: User) -> Iterator[Finding]:
    yield _usable("configuration", named.path.absolute(), user)
    folder = named.keys_folder
    for name in (*PRIVATE, *PUBLIC) if folder is not None else ():
        path = Path(folder or "", name)
        if path.exists() or path.is_symlink():
            yield _private("key", path, user) if name in PRIVATE else _usable("enrolment", path, user)
    for secret in named.secrets:
        yield _private(secret.what, secret.path, user)


def _usable(what: str, path: Path, user: User) -> Finding:
    try:
        found = path.stat()
        allowed = user.may(path, 4)
    except OSError as error:
        return Finding(Mark.FAIL, what, f"{path}: {error.strerror}", do="correct the path, or put the file there")
    if not stat.S_ISREG(found.st_mode):
        return Finding(Mark.FAIL, what, f"{path} is no file", do="name the file itself")
    text = f"{path} ({owner_shown(found)})"
    if not allowed:
        do = f"give it, and the folders above it, to {user.name}: chown {user.name} {path}"
        return Finding(Mark.FAIL, what, f"{text}: not readable by {user.name}, whom the daemon runs as", do=do)
    return Finding(Mark.OK, what, f"{text}: read")


def _private(what: str, path: Path, user: User) -> Finding:
    found = _usable(what, path, user)
    open_to = _open_to_others(path)
    if open_to:
        code = "PLB-C227" if "key" in what else "PLB-C224"
        return Finding(Mark.FAIL, what, f"{path} ({open_to}): others may read it", code, _CHMOD.format(path))
    return found


def _open_to_others(path: Path) -> str:
    """Owner and mode where group or others may do anything with the file; empty where not."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return owner_shown(found) if stat.S_IMODE(found.st_mode) & 0o077 else ""


def _ignored(named: Named) -> Iterator[Finding]:
    secret = {each.path.parent.resolve() for each in named.secrets} | _resolved(named.keys_folder)
    known = {each.path.resolve() for each in named.secrets} | {named.path.resolve()}
    known |= {path / name for path in _resolved(named.keys_folder) for name in (*PRIVATE, *PUBLIC)}
    known |= {path / name for path in _resolved(named.state_folder) for name in STATE}
    folders = {named.path.absolute().parent.resolve()} | secret | _resolved(named.state_folder)
    names = {secret.path.name for secret in named.secrets} | set(PRIVATE)
    for folder in sorted(folders):
        yield from _beside(folder, known, names)


def _resolved(folder: Path | None) -> set[Path]:
    return set() if folder is None else {folder.resolve()}


def _beside(folder: Path, known: set[Path], secrets: set[str]) -> Iterator[Finding]:
    try:
        left = sorted(path for path in folder.iterdir() if path.resolve() not in known and not path.is_dir())
    except FileNotFoundError:
        return
    except OSError as error:
        do = "run doctor as root, or as the daemon's user"
        yield Finding(Mark.SKIP, "other files", f"{folder}: {error.strerror}", do=do)
        return
    for path in left[:MOST]:
        yield _unread(path, any(name.split(".")[0] in path.name for name in secrets))
    if len(left) > MOST:
        yield Finding(Mark.OK, "other files", f"{folder}: {len(left) - MOST} more, not read")


def _unread(path: Path, of_secret: bool) -> Finding:
    why, do = _why(path.name)
    open_to = _open_to_others(path) if of_secret and _BACKUP.search(path.name) else ""
    if open_to:
        text = f"{path} ({open_to}): {why}, but it may hold a secret and others may read it"
        return Finding(Mark.FAIL, "ignored", text, do=f"remove it, or {_CHMOD.format(path)}")
    return Finding(Mark.HINT if do else Mark.OK, "ignored", f"{path}: {why}", do=do)


def _why(name: str) -> tuple[str, str]:
    """Why a file is not read, and what to do where somebody may have meant it to be."""
    return next(((why, do) for pattern, why, do in _UNREAD if pattern.search(name)), (_UNNAMED, ""))
