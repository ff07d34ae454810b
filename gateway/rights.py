"""Who the daemon is, and what that user may do with a file: told from owner, group and mode, without becoming it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

USER = "plomba-gateway"  # of the service: the same word in unit, user, configuration and data folder


@dataclass(frozen=True, slots=True)
class User:
    """A user of this machine with all its groups."""

    name: str
    uid: int
    gids: frozenset[int]

    @classmethod
    def of(cls, uid: int) -> User:
        """The user of a number; one without a name has its number, and the groups of this process if it is its own."""
        mine = frozenset({os.getgid(), *os.getgroups()}) if uid == os.getuid() else frozenset()
        try:
            found = pwd.getpwuid(uid)
        except KeyError:
            return cls(str(uid), uid, mine)
        return cls(found.pw_name, uid, mine | frozenset(os.getgrouplist(found.pw_name, found.pw_gid)))

    def may(self, path: Path, wanted: int) -> bool:
        """Whether mode bits let it (`wanted` of 4 read, 2 write, 1 search), folders above included; links are followed.

        Raises:
            OSError: it is not there, or this process may not look.
        """
        real = path.resolve()
        return self._may(real.stat(), wanted) and all(self._may(each.stat(), 1) for each in real.parents)

    def _may(self, found: os.stat_result, wanted: int) -> bool:
        if self.uid == 0:
            return True
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid == self.uid:
            return mode >> 6 & wanted == wanted
        if found.st_gid in self.gids:
            return mode >> 3 & wanted == wanted
        return mode & wanted == wanted


def service_user(running: str, state_folder: Path | None) -> tuple[User, str]:
    """Whom the daemon runs as, and how that is known: its process, its user, the state folder's owner, or this user."""
    try:
        if running.isdigit():
            return User.of(Path("/proc", running).stat().st_uid), f"process {running} runs as it"
    except OSError:  # it ended meanwhile
        pass
    try:
        return User.of(pwd.getpwnam(USER).pw_uid), "the service's user"
    except KeyError:
        pass
    try:
        if state_folder is not None:
            return User.of(state_folder.stat().st_uid), "it owns the state folder"
    except OSError:
        pass
    return User.of(os.getuid()), "this user: no daemon runs, and there is no state folder yet"


def owner_shown(found: os.stat_result) -> str:
    """Owner, group and mode, as ls -l has them."""
    return f"{User.of(found.st_uid).name}:{group_name(found.st_gid)} {stat.S_IMODE(found.st_mode):04o}"


def group_name(gid: int) -> str:
    """The name of a group, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
