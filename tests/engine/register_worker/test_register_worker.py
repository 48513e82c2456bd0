"""df.register_worker: a worker process announces itself."""

from __future__ import annotations

from engine_room import Engine
from engine_worker import Worker


def test_a_worker_is_seen_with_its_lease(engine: Engine) -> None:
    worker = Worker(engine, "20 seconds")
    row = "select worker_id, name, host, pid, version, is_alive, sessions from df.workers"
    assert engine.rows(row) == [(worker.number, "w", "host", 7, "0.1.0", True, 0)]
    assert engine.value("select lease_until - started_at between '19 s' and '21 s' from df._workers")
    worker.run_out()
    assert engine.value("select is_alive from df.workers") is False
