"""`doctor`: looks at all that the daemon needs, goes on after a failure, and says the next step for each.

It works beside a daemon that runs (what only the daemon knows is asked through its socket), without one, and with a
configuration that has faults: what that names plainly is looked at all the same. It changes nothing; where it may, it
writes one unnamed file into the state folder, which shows whether the disk takes and syncs it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway import doctor_broker, doctor_daemon, doctor_disk, doctor_files, doctor_ports
from gateway.findings import Finding, Mark
from gateway.inspect import passwords
from gateway.named import Named, named_in
from gateway.owners import daemon_of
from gateway.rights import User, service_user
from protocols.settings.problems import Level

STATES = {Mark.OK: "ok", Mark.HINT: "warning", Mark.FAIL: "wrong", Mark.SKIP: "not looked at"}


@dataclass(frozen=True, slots=True)
class Examined:
    """What was looked at, by group, in the order of the report."""

    groups: tuple[tuple[str, tuple[Finding, ...]], ...]

    @property
    def wrong(self) -> int:
        """How many are wrong."""
        return self._count(Mark.FAIL)

    @property
    def warnings(self) -> int:
        """How many are worth a look."""
        return self._count(Mark.HINT)

    def rows(self) -> list[dict[str, str]]:
        """Each check as JSON has it."""
        return [
            {
                "group": group,
                "state": STATES[each.mark],
                "what": each.what,
                "seen": each.text,
                "next": each.do,
                "code": each.code,
            }
            for group, findings in self.groups
            for each in findings
        ]

    def _count(self, mark: Mark) -> int:
        return sum(each.mark is mark for _, findings in self.groups for each in findings)


def examine(path: Path, now: datetime.datetime, reach: bool = True) -> Examined:
    """All checks of the gateway that the file at `path` configures; `reach`: the broker, too."""
    named = named_in(path)
    running = "" if named.state_folder is None else daemon_of(named.state_folder)
    user, why = service_user(running, named.state_folder)
    groups: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("configuration", lambda: _configuration(named)),
        ("files", lambda: _files(named, user, why)),
        ("ports", lambda: doctor_ports.ports(named, user, running)),
        ("clock", lambda: doctor_daemon.clock(named, running, now)),
        ("daemon", lambda: doctor_daemon.daemon(named, running)),
        ("disk and buffer", lambda: doctor_disk.disk(named, user, now)),
        ("keys and certificate", lambda: doctor_broker.certificates(named, now)),
    ]
    if reach:
        groups.append(("broker", lambda: doctor_broker.broker(named, now)))
    return Examined(tuple((name, _group(name, look)) for name, look in groups))


def _group(name: str, look: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    """A group's findings; what this user may not look at is one of them, and costs the other groups nothing."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except OSError as error:
        text = f"{error.filename or 'this machine'}: {error.strerror or error}"
        found.append(Finding(Mark.SKIP, name, text, do="run doctor as root, or as the daemon's user"))
    return tuple(found)


def _configuration(named: Named) -> list[Finding]:
    found = [
        Finding(
            Mark.FAIL if each.level is Level.FAULT else Mark.HINT,
            f"line {each.line}" if each.line else "file",
            f"{each.key + ': ' if each.key else ''}expected {each.expected}, got {each.got}",
            do=each.do,
        )
        for each in named.problems
    ]
    if named.configuration is not None:
        count = sum(len(bus.device) for bus in named.configuration.bus)
        text = f"{named.path}: gateway {named.configuration.gateway}, {count} meters"
        return [Finding(Mark.OK, "file", text), *found]
    return found


def _files(named: Named, user: User, why: str) -> Iterable[Finding]:
    yield Finding(Mark.OK, "daemon's user", f"{user.name}: {why}")
    yield from doctor_files.files(named, user)
    if named.configuration is not None:
        yield from (each for each in passwords(named.configuration) if each.mark is Mark.FAIL)
