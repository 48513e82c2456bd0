"""Wait for an instance in a worker, and tell the task log what happens meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from pgdurable_airflow.provider.attaching import Awaited
from pgdurable_airflow.provider.outcome import outcome_lines
from pgdurable_core.engine import Client, StepRow
from pgdurable_core.errors import DatabaseUnavailableError

FIRST_PAUSE: Final = 0.05
GROWTH: Final = 1.5
LOST_SECONDS: Final = 600.0
UNATTENDED_AFTER: Final = 0.5
UNATTENDED_EVERY: Final = 300.0
LOG_PAGE: Final = 1000
MOST_LOG_LINES: Final = 10_000


class Log(Protocol):
    """What a task of any Airflow version has as its log."""

    def info(self, message: Any, /, *args: Any) -> Any: ...
    def warning(self, message: Any, /, *args: Any) -> Any: ...


class Telling:
    """What the task log has heard of an instance; `after_log` goes on with it in another process."""

    def __init__(self, log: Log, instance_id: str, after_log: int) -> None:
        self._log = log
        self._instance_id = instance_id
        self._lines = 0
        self._is_cut = False
        self._tell_next = time.monotonic() + UNATTENDED_AFTER
        self.after_log = after_log

    def tell(self, client: Client) -> None:
        """Tell what the steps said since the last time, and when nobody is there to run them."""
        self._tell_lines(client)
        now = time.monotonic()
        if now >= self._tell_next:
            self._tell_next = now + UNATTENDED_EVERY
            if not any(worker.is_alive for worker in client.workers()):
                self._log.warning(
                    "no worker is alive in this database: instance %s waits until there is one (pgdurable worker), "
                    "or somebody calls df.work()",
                    self._instance_id,
                )

    def tell_lost(self, error: DatabaseUnavailableError) -> None:
        self._log.warning("the database cannot be reached, and is waited for: %s", error.message)

    def tell_end(self, client: Client, steps: Sequence[StepRow]) -> None:
        self._tell_lines(client)
        for line in outcome_lines(steps):
            self._log.info("%s", line)

    def _tell_lines(self, client: Client) -> None:
        while not self._is_cut:
            rows = client.logs(self._instance_id, after=self.after_log, limit=LOG_PAGE)
            for row in rows:
                label = row.key if row.map_index is None else f"{row.key}[{row.map_index}]"
                self._log.info("%s: %s", label, row.line)
            self._lines += len(rows)
            if rows:
                self.after_log = rows[-1].log_id
            if self._lines >= MOST_LOG_LINES:
                self._is_cut = True
                self._log.info("more is in pgdurable logs %s", self._instance_id)
            elif len(rows) < LOG_PAGE:
                return


def wait_in_place(
    connect: Callable[[], AbstractContextManager[Client]],
    awaited: Awaited,
    until: float | None,
    longest_pause: float,
    telling: Telling,
) -> bool:
    """Return True when the end has come (or the instance is gone), False when the time (monotonic) has.

    Looks more slowly the longer it waits. A server that is not there is waited for, ten minutes long; then, and when
    the engine refuses, PgDurableError is raised.
    """
    pause = FIRST_PAUSE
    lost_since: float | None = None
    while True:
        try:
            with connect() as client:
                while True:
                    row = client.progress([awaited.instance_id]).get(awaited.instance_id)
                    lost_since = None
                    if row is None or awaited.has_come(row):
                        return True
                    telling.tell(client)
                    left = pause if until is None else until - time.monotonic()
                    if left <= 0:
                        return False
                    time.sleep(min(pause, left))
                    pause = min(pause * GROWTH, longest_pause)
        except DatabaseUnavailableError as error:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > LOST_SECONDS:
                raise
            telling.tell_lost(error)
            time.sleep(pause)
            pause = min(pause * GROWTH, longest_pause)
