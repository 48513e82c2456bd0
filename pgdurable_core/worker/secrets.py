"""References to secrets, and masks that keep their values out of logs."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

MASK = "***"
# Shorter values would mask ordinary words; Airflow's secrets masker draws the same line.
SHORTEST_MASKED = 5
SENSITIVE_NAME = re.compile(
    r"(?i)(passw(or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|credential|authorization)"
)
ENV_REFERENCE = re.compile(r"env:([A-Z_][A-Z0-9_]*)")
COMMAND_SECONDS = 30


class Masker:
    """Replaces every secret value it was told about by `***`. Safe between threads."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*values)

    def add(self, *values: str) -> None:
        """Mask these values from now on; values under five characters are left visible."""
        fresh = {part for value in values for part in (value, *value.splitlines()) if len(part) >= SHORTEST_MASKED}
        with self._lock:
            if fresh <= self._values:
                return
            self._values |= fresh
            longest_first = sorted(self._values, key=lambda value: (-len(value), value))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def add_environment(self, environment: Mapping[str, str]) -> None:
        """Mask the values of variables whose names say that they are secret."""
        self.add(*(value for name, value in environment.items() if SENSITIVE_NAME.search(name)))

    def add_dsn(self, dsn: str) -> None:
        """Mask the password in a connection string."""
        self.add(str(conninfo_to_dict(dsn).get("password") or ""))

    def mask(self, text: str) -> str:
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)


def resolve_reference(reference: str) -> str:
    """Return what `env:NAME`, `file:PATH` or `cmd:COMMAND` refers to, without the line end.

    Raises LookupError, naming the reference and never a value.
    """
    kind, _, rest = reference.partition(":")
    match kind:
        case "env":
            if rest not in os.environ:
                raise LookupError(f"{reference}: no such environment variable on this worker")
            return os.environ[rest]
        case "file":
            try:
                return Path(rest).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise LookupError(f"{reference}: {error.strerror}") from error
        case "cmd":
            try:
                done = subprocess.run(
                    ["bash", "-c", rest],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=COMMAND_SECONDS,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise LookupError(f"cmd: the command that prints the secret failed: {type(error).__name__}") from None
            return done.stdout.rstrip("\r\n")
    raise LookupError(f"{reference.partition(':')[0]}: not a reference; env:, file: and cmd: are")


def resolve_environment(env: Mapping[str, str], masker: Masker) -> dict[str, str]:
    """Replace values of the form `env:NAME`, upper case, by this worker's variable and mask them from now on.

    Raises LookupError when the worker has no such variable. Any other text, `env:prod` too, stays what it is.
    """
    resolved = dict(env)
    for name, value in env.items():
        if ENV_REFERENCE.fullmatch(value):
            resolved[name] = resolve_reference(value)
            masker.add(resolved[name])
    masker.add_environment(resolved)
    return resolved
