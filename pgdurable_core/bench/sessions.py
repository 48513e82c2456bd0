"""What is measured: sessions on df.work over waiting instances, and pgbench beside them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import psycopg

from pgdurable_core.bench.place import Place
from pgdurable_core.engine import Connection
from pgdurable_core.errors import PgDurableError, SetupError

Lane = Literal["fast", "committed"]

CHAIN = 10
# Twenty fast attempts earn the one-commit lane; what was claimed before the last one counted runs committed.
WARM_UP = 30
PGBENCH_ROWS = 100_000
NEVER = 2**64 - 1


def define_chain(connection: Connection, place: Place, name: str = "chain") -> None:
    """Define ten trivial SQL steps, one after another, and let them earn the one-commit lane."""
    steps = ", ".join(
        f"df.step('s{n}', run => 'select 1', run_as => '{place.run_as}'"
        + (f", after => '{{s{n - 1}}}')" if n > 1 else ")")
        for n in range(1, CHAIN + 1)
    )
    connection.execute(f"select df.create_workflow('{name}', steps => array[{steps}])".encode())
    start(connection, name, WARM_UP)
    with Sessions(place, 1) as sessions:
        sessions.work()
    # As autovacuum does within a minute of any database's life; a benchmark is over before.
    connection.execute(
        "analyze df._steps, df._instances, df._plan_steps, df._plans, df._joins, df._step_lanes, df._scopes"
    )


def start(connection: Connection, name: str, count: int) -> None:
    """Start instances, a thousand to a transaction."""
    while count > 0:
        now = min(count, 1000)
        connection.execute("select df.start_workflow(%s) from generate_series(1, %s)", [name, now])
        count -= now


def set_lane(connection: Connection, lane: Lane) -> None:
    """Say how steps are claimed: everything queued before the crash horizon is claimed with a commit first."""
    horizon = NEVER if lane == "committed" else 0
    connection.execute("update df._engine set crash_horizon = %s::text::xid8", [str(horizon)])


class Sessions:
    """Connections that stay open over all turns: what a session compiles and plans at first is not measured."""

    def __init__(self, place: Place, count: int) -> None:
        self.connections = [place.connect() for _ in range(count)]

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.connections:
            each.close()

    def work(self) -> float:
        """Work until nothing is left; return the seconds from the first call to the last answer.

        Raises what a session raised, SetupError when something is left over.
        """
        seconds = at_once([partial(_drain, each) for each in self.connections])
        row = self.connections[0].execute("select count(*) from df._instances where finished_at is null").fetchone()
        assert row is not None
        if row[0]:
            raise SetupError(f"{row[0]} instances are left over", hint="is something else at work in this database?")
        return seconds


def _drain(connection: Connection) -> None:
    while True:
        connection.execute("call df.work(300)")
        row = connection.execute(
            "select exists (select from df._instances where state in ('pending', 'running'))"
        ).fetchone()
        if row is None or not row[0]:
            return
        time.sleep(0.001)


def at_once(targets: Sequence[Callable[[], object]]) -> float:
    """Run every target in a thread of its own; return the seconds from their common beginning to the last one's end."""
    failed: list[psycopg.Error | PgDurableError] = []
    ready = threading.Barrier(len(targets) + 1)

    def run(target: Callable[[], object]) -> None:
        ready.wait()
        try:
            target()
        except (psycopg.Error, PgDurableError) as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.monotonic()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    if failed:
        raise failed[0]
    return seconds


def prepare_pgbench(connection: Connection) -> None:
    connection.execute("create table public.bench_rows (id int primary key, n int not null) with (fillfactor = 70)")
    connection.execute("insert into public.bench_rows select g, 0 from generate_series(1, %s) g", [PGBENCH_ROWS])
    connection.execute("vacuum analyze public.bench_rows")


def pgbench(place: Place, sessions: int, seconds: float) -> float:
    """Return one-row UPDATEs per second, each its own commit, over `sessions` connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"\\set id random(1, {PGBENCH_ROWS})\nupdate public.bench_rows set n = n + 1 where id = :id;\n")
        script.flush()
        arguments = ["-n", "-M", "prepared", "-c", str(sessions), "-j", str(min(sessions, os.cpu_count() or 1))]
        done = subprocess.run(
            [place.pgbench, *arguments, "-T", str(max(1, round(seconds))), "-f", Path(script.name), "-d", place.dsn],
            capture_output=True,
            text=True,
            check=False,
        )
    for line in done.stdout.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise SetupError(f"pgbench gave no figure: {done.stderr.strip()}")
