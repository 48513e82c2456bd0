"""The endpoint that tells machines how a worker is: `/healthz` for who restarts it, `/metrics` for Prometheus."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from pgdurable_core.engine import calls
from pgdurable_core.errors import PgDurableError, UsageError
from pgdurable_core.schema import package_version
from pgdurable_core.worker.links import Link
from pgdurable_core.worker.options import WorkerStatus

# A scrape that takes longer than this tells what the worker itself knows.
STATEMENT_TIMEOUT: Final = "2000"
CONNECT_TIMEOUT: Final = "2"
# However many scrape, the database is asked once in this many seconds.
ASK_EVERY: Final = 1.0
REQUEST_TIMEOUT: Final = 5.0
# A scrape that meets another one which waits for the server does not wait for long.
LOCK_TIMEOUT: Final = 3.0
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, float]


class HealthServer:
    """Answers on one address in threads of its own, from the moment it is made until `close`.

    `/healthz` asks nobody: 200 while the worker claims steps under a lease, else 503 with the reason. `/metrics` adds
    what `df.prometheus` says, over a connection of its own that is opened at the first scrape. Raises UsageError when
    the address cannot be had.
    """

    def __init__(self, host: str, port: int, dsn: str, name: str, status: Callable[[], WorkerStatus]) -> None:
        self._status, self._name = status, name
        impatient = make_conninfo(dsn, connect_timeout=CONNECT_TIMEOUT)
        self._link = Link(impatient, f"pgdurable {name} metrics"[:63], {"statement_timeout": STATEMENT_TIMEOUT})
        self._lock = threading.Lock()
        self._asked_at = -ASK_EVERY
        self._engine = ""
        try:
            self._server = _Server(host, port, self._answer)
        except OSError as error:
            why = error.strerror or str(error)
            raise UsageError(f"the health endpoint cannot listen on {host}:{port}: {why}") from error
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="pgdurable-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close the connection; a request under way may finish."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._link.interrupt()
        with self._lock:
            self._link.close()

    def _answer(self, path: str) -> tuple[int, str, str]:
        if path == "/healthz":
            status = self._status()
            why = why_unhealthy(status)
            body = json.dumps(_healthz(status, why)) + "\n"
            return 200 if why is None else 503, "application/json", body
        if path == "/metrics":
            return 200, TEXT, worker_metrics(self._status()) + self._engine_metrics()
        return 404, "text/plain; charset=utf-8", "there are /healthz and /metrics\n"

    def _engine_metrics(self) -> str:
        answer = ""
        if self._lock.acquire(timeout=LOCK_TIMEOUT):
            try:
                answer = self._asked()
            finally:
                self._lock.release()
        return _metric("pgdurable_engine_up", "gauge", "Whether the database answered.", [("", bool(answer))]) + answer

    def _asked(self) -> str:
        if time.monotonic() - self._asked_at >= ASK_EVERY:
            self._asked_at = time.monotonic()
            try:
                self._engine = str(self._link.value(calls.PROMETHEUS))
            except (PgDurableError, psycopg.Error):
                self._engine = ""
        return self._engine


def why_unhealthy(status: WorkerStatus) -> str | None:
    """Say why a worker claims nothing, or None while it does."""
    match status.state:
        case "starting":
            why = "it has no lease yet"
        case "draining":
            why = "it is draining: running steps may finish, nothing new is claimed"
        case "stopped":
            why = "it has stopped"
        case "running":
            if status.lease_remaining > 0:
                return None
            why = "its lease is lost"
    if status.state == "draining" or status.last_error is None:
        return why
    return f"{why}; last trouble: {status.last_error}"


def worker_metrics(status: WorkerStatus) -> str:
    """Write what the worker knows of itself. What plain SQL steps came to is the engine's to know: `ended`."""
    slots, busy, steps = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for slot in status.slots:
        lanes = ",".join(slot.lanes)
        slots[lanes] += 1
        busy[lanes] += slot.state == "working"
        steps.update(slot.outcomes)
    return "".join(
        [
            _metric(
                "pgdurable_worker_info",
                "gauge",
                "Which worker this is.",
                [(_labels(worker=status.name, version=package_version()), 1)],
            ),
            _metric(
                "pgdurable_worker_healthy",
                "gauge",
                "Whether it claims steps under a lease.",
                [("", why_unhealthy(status) is None)],
            ),
            _metric(
                "pgdurable_worker_connected",
                "gauge",
                "Whether its listening connection is open.",
                [("", status.is_connected)],
            ),
            _metric(
                "pgdurable_worker_beat_age_seconds",
                "gauge",
                "How long ago the server last renewed its lease; absent before the first.",
                [] if status.beat_age is None else [("", status.beat_age)],
            ),
            _metric(
                "pgdurable_worker_lease_remaining_seconds",
                "gauge",
                "How long its claims hold without another beat.",
                [("", status.lease_remaining)],
            ),
            _metric("pgdurable_worker_sessions", "gauge", "Threads that run steps.", _by_lanes(slots)),
            _metric("pgdurable_worker_busy", "gauge", "Those that run or claim a step.", _by_lanes(busy)),
            _metric("pgdurable_worker_children", "gauge", "Child processes for steps.", [("", status.children)]),
            _metric(
                "pgdurable_worker_steps_total",
                "counter",
                "Steps that it ran, by what came of them; of plain SQL the engine knows it.",
                [(_labels(lane=lane, outcome=outcome), count) for (lane, outcome), count in sorted(steps.items())],
            ),
        ]
    )


def _healthz(status: WorkerStatus, why: str | None) -> dict[str, object]:
    return {
        "is_healthy": why is None,
        "why": why,
        "state": status.state,
        "worker": status.name,
        "worker_id": status.worker_id,
        "is_connected": status.is_connected,
        "lease_remaining": round(status.lease_remaining, 3),
        "beat_age": None if status.beat_age is None else round(status.beat_age, 3),
        "busy": sum(slot.state == "working" for slot in status.slots),
        "sessions": len(status.slots),
        "children": status.children,
        "steps_done": status.steps_done,
    }


def _by_lanes(counts: Counter[str]) -> list[Sample]:
    return [(_labels(lanes=lanes), count) for lanes, count in sorted(counts.items())]


def _labels(**values: str) -> str:
    """Write labels; backslash, quote and newline are escaped (Prometheus exposition format 0.0.4)."""
    parts = []
    for name, value in values.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        parts.append(f'{name}="{escaped}"')
    return "{" + ",".join(parts) + "}"


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {round(float(value), 3):.15g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answer: Callable[[str], tuple[int, str, str]]) -> None:
        self.answer = answer
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that went away is not the worker's trouble."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "pgdurable"
    sys_version = ""
    timeout = REQUEST_TIMEOUT

    def do_GET(self) -> None:
        code, kind, body = self.server.answer(self.path.partition("?")[0])
        content = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape every few seconds would bury what happens."""
