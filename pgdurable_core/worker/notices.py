"""NOTICEs of plain SQL steps, on their way to `df.log` while the step runs.

The engine says in a notice of its own, SQLSTATE PD000, whose notices follow: `instance:scope:step:token`.
"""

from __future__ import annotations

import contextlib

import psycopg

from pgdurable_core.engine import calls
from pgdurable_core.errors import PgDurableError
from pgdurable_core.worker.links import Link
from pgdurable_core.worker.output import StepLog
from pgdurable_core.worker.secrets import Masker

MARKER = "PD000"


def notice_lines(notice: psycopg.errors.Diagnostic) -> list[str]:
    """Write a notice as lines of a log."""
    text = f"{notice.severity}: {notice.message_primary}"
    return [line for part in (text, notice.message_detail, notice.message_hint) if part for line in part.splitlines()]


class NoticeLog:
    """Takes the notices of one session, in its thread; sends them over a connection of its own, since it is busy."""

    def __init__(self, link: Link, masker: Masker) -> None:
        self._link, self._masker = link, masker
        self._log: StepLog | None = None

    def take(self, notice: psycopg.errors.Diagnostic) -> None:
        """Take one notice: the engine's marker, or a line of the step it named."""
        if notice.sqlstate == MARKER:
            self.flush()
            self._log = self._open(notice.message_primary or "")
        elif self._log is not None:
            self._log.add("notice", notice_lines(notice))
            self._log.flush_when_due()

    def flush(self) -> None:
        """Send what waits. A log line is worth less than the step: what the server refuses is dropped."""
        if self._log is not None:
            with contextlib.suppress(PgDurableError, psycopg.Error):
                self._log.flush()

    def close(self) -> None:
        """Send what waits and close the connection."""
        self.flush()
        self._log = None
        self._link.close()

    def _open(self, marker: str) -> StepLog:
        instance_id, scope_id, step, token = marker.split(":")
        claim = [instance_id, int(scope_id), int(step), int(token)]
        return StepLog(lambda stream, lines: self._send(claim, stream, lines), self._masker)

    def _send(self, claim: list[object], stream: str, lines: list[str]) -> None:
        self._link.rows(calls.LOG, [*claim, stream, lines])
