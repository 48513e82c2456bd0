"""Where a worker says what happens: its own log, and whoever listens in the same process."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from pgdurable_core.worker.options import WorkerEvent
from pgdurable_core.worker.secrets import Masker

REPEAT_EVERY = 30.0
LEVELS: Final[Mapping[str, str]] = {"trouble": "warning", "lease": "warning", "pooler": "warning", "failed": "error"}


class Journal:
    """Writes events to stderr, as text or one JSON object a line, and hands them to `on_event`. Safe between threads.

    With `on_event` and without JSON nothing is written: the listener shows what it wants. The same message about an
    error is told once in thirty seconds, since a server that is down makes every thread say the same.
    """

    def __init__(
        self, name: str, masker: Masker, *, as_json: bool, on_event: Callable[[WorkerEvent], None] | None
    ) -> None:
        self._name, self._masker = name, masker
        self._as_json = as_json
        self._on_event = on_event
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self.last_error: str | None = None

    def tell(self, kind: str, message: str, **data: str | int | float | None) -> None:
        """Say that something happened."""
        event = WorkerEvent(kind, self._masker.mask(message), data)
        if self._on_event is not None:
            self._on_event(event)
            if not self._as_json:
                return
        if self._as_json:
            line = json_line(event, self._name)
        else:
            line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {event.message}"
        with self._lock:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def trouble(self, where: str, error: Exception) -> None:
        """Say that something went wrong and the worker goes on."""
        message = self._masker.mask(f"{where}: {error}".strip())
        now = time.monotonic()
        with self._lock:
            self.last_error = message
            if now - self._told.get(message, -REPEAT_EVERY) < REPEAT_EVERY:
                return
            self._told = {text: at for text, at in self._told.items() if now - at < REPEAT_EVERY} | {message: now}
        self.tell("trouble", message)


def json_line(event: WorkerEvent, worker: str | None) -> str:
    """Write an event as one JSON object: time (UTC, milliseconds), level, event, worker, message, then its data."""
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}Z"
    head = {"time": stamp, "level": LEVELS.get(event.kind, "info"), "event": event.kind, "worker": worker}
    return json.dumps({**head, "message": event.message, **event.data})
