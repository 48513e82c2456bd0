"""The systemd unit of a worker, as `deploy/pgdurable-worker.service` has it, for a command of one's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

DSN_FILE: Final = "/etc/pgdurable/dsn"
# systemd puts the credential where only the service can read it (systemd.exec(5), LoadCredential).
CREDENTIAL: Final = "file:${CREDENTIALS_DIRECTORY}/dsn"


def systemd_unit(command: Sequence[str], dsn_file: str = DSN_FILE) -> str:
    """Return the unit for `command`, which gets `--dsn` added: systemd hands it the one line of `dsn_file`."""
    template = files("pgdurable_core").joinpath("worker/deploy/pgdurable-worker.service").read_text(encoding="utf-8")
    start = " ".join([*map(_quoted, command), "--dsn", CREDENTIAL])
    text = template.replace(DSN_FILE, dsn_file.replace("%", "%%"))
    return re.sub("^ExecStart=.*$", lambda _: f"ExecStart={start}", text, flags=re.M)


def _quoted(word: str) -> str:
    """Write one word of a command line as systemd reads it (systemd.service(5), COMMAND LINES)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w./:=,@+-]+", word) else f'"{escaped}"'
