"""Who asks: the names under which a task's run is known to the engine, and what is written beside them.

The engine keeps what a run key and a reason say, so that a task which comes back after its worker was lost, in another
process and with no memory, can tell what became of its work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

# df._start: 1000 characters of A-Z a-z 0-9 _ . : + @ ~ = / - and blank, and no two dashes, since it goes into SQL and
# shell text as {run_id}. Here / parts, ~ escapes, @ numbers and = announces a hash, so none of them stands for itself.
_LONGEST_KEY: Final = 1000
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9_.:+-]|(?<=-)-")

# df._check_document: 1 to 250 of A-Z a-z 0-9 _ . -
_LONGEST_NAME: Final = 250
_UNNAMEABLE: Final = re.compile(r"[^A-Za-z0-9_.-]")

_TRY: Final = re.compile(r"Airflow try (\d+) of (\d+)")
_ENDED: Final = re.compile(r"Airflow ended try (\d+)")


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task instance of Airflow on one of its tries; `max_tries` begins as `retries` and grows with every clear."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    retries: int

    @property
    def was_ever_cleared(self) -> bool:
        return self.max_tries > self.retries

    def key(self, number: int = 1) -> str:
        """Return the run key of the `number`th instance of this run of the task: `dag/run/task/3@2`.

        The same for every try, different for different tasks: no two of them share a key, but for a hash of sha256
        where the ids are too long.
        """
        parts = [self.dag_id, self.run_id, self.task_id]
        if self.map_index >= 0:
            parts.append(str(self.map_index))
        key = "/".join(map(_escaped, parts)) + ("" if number == 1 else f"@{number}")
        if len(key) <= _LONGEST_KEY:
            return key
        digest = sha256(key.encode()).hexdigest()
        return f"{key[: _LONGEST_KEY - len(digest) - 1]}={digest}"

    @property
    def asks(self) -> str:
        """Return the reason that stands in the engine where this try starts or continues something."""
        return f"Airflow try {self.try_number} of {self.max_tries + 1}"

    @property
    def workflow(self) -> str:
        """Return the name of the workflow that a task defines by itself; no other task has the same.

        A hash follows where dag and task cannot be told from each other by the first dot, or do not fit.
        """
        name = f"airflow.{self.dag_id}.{self.task_id}"
        plain = _UNNAMEABLE.sub("_", name)
        if name == plain and len(name) <= _LONGEST_NAME and "." not in self.dag_id:
            return name
        digest = sha256(f"{self.dag_id}/{self.task_id}".encode()).hexdigest()[:16]
        return f"{plain[: _LONGEST_NAME - len(digest) - 1]}.{digest}"


def ends(try_number: int) -> str:
    """Return the reason that stands in the engine where Airflow ended a try and cancelled what it waited for."""
    return f"Airflow ended try {try_number}"


def tries_known(reasons: Iterable[str | None]) -> int | None:
    """Return the highest `max_tries` at which Airflow asked for an instance, None where it never did."""
    found = [_TRY.fullmatch(reason or "") for reason in reasons]
    return max((int(match[2]) - 1 for match in found if match), default=None)


def ended_try(reason: str | None) -> int | None:
    """Return the try whose end by Airflow this reason tells of, None for anybody else's."""
    match = _ENDED.fullmatch(reason or "")
    return int(match[1]) if match else None


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda found: b"~%02X" % ord(found[0]), text.encode()).decode()
