# ruff: noqa: E501
"""Sessions on `df.work`, the housekeeping beside them, and servers that a test may kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from server import Database

from pgdurable_core.engine import Connection
from pgdurable_core.errors import DatabaseUnavailableError

EFFECTS = """
create table public.effects (instance_id text not null, step text not null, at timestamptz default clock_timestamp());
grant insert, select on public.effects to public;
"""
EFFECT = "insert into public.effects (instance_id, step) values ('{instance_id}', '{step}[{map_index}]')"


class Crew:
    """N sessions that call df.work again and again, whatever happens to them, with a ticker and a watchdog."""

    def __init__(
        self,
        database: Database,
        sessions: int = 4,
        *,
        role: str | None = None,
        ticker: bool = True,
        watchdog: bool = False,
        seconds: float = 5,
        idle: float = 0.05,
    ) -> None:
        self.database, self.role = database, role
        self.seconds, self.idle = seconds, idle
        self.errors: list[psycopg.Error] = []
        self.done = 0
        self.pids: dict[int, int] = {}
        self._over = threading.Event()
        targets: list[Callable[[], None]] = [lambda number=n: self._work(number) for n in range(sessions)]  # type: ignore[misc]
        if ticker:
            targets.append(lambda: self._repeat(0.2, ["call df.tick()"]))
        if watchdog:
            targets.append(lambda: self._repeat(0.1, ["call df.tick()", "select df.signal_stops()"]))
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def __enter__(self) -> Crew:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def finish(self, seconds: float = 60) -> None:
        """Wait until no instance is open and no command waits."""
        until(
            lambda: count_open(self.database.connect) == 0,
            seconds,
            lambda: f"{open_rows(self.database.connect)} {self.errors[-3:]}",
        )

    @property
    def unexpected(self) -> list[psycopg.Error]:
        """Errors that are not the end of a connection."""
        return [error for error in self.errors if not is_cut(error)]

    def _connect(self) -> Connection | None:
        while not self._over.is_set():
            try:
                return self.database.connect(self.role)
            except Exception:
                time.sleep(0.05)
        return None

    def _work(self, number: int) -> None:
        position: str | None = None
        while (connection := self._connect()) is not None:
            try:
                with connection:
                    self.pids[number] = connection.info.backend_pid
                    while not self._over.is_set():
                        try:
                            row = connection.execute(
                                "call df.work(%s::numeric, %s::numeric, null, %s::text)",
                                [self.seconds, self.idle, position],
                            ).fetchone()
                            assert row is not None
                            position, self.done = row[0], self.done + row[1]
                        except psycopg.errors.QueryCanceled as error:
                            self.errors.append(error)
                        if self.idle == 0:
                            time.sleep(0.01)
            except psycopg.Error as error:
                self.errors.append(error)
                time.sleep(0.05)
            self.pids.pop(number, None)

    def _repeat(self, every: float, statements: Sequence[str]) -> None:
        while (connection := self._connect()) is not None:
            try:
                with connection:
                    while not self._over.wait(every):
                        for statement in statements:
                            connection.execute(statement.encode())
            except psycopg.Error as error:
                self.errors.append(error)


class WorkerProcess:
    """A real `pgdurable worker` that leads a process group of its own, to be killed; `wait_ready` before counting on it."""

    def __init__(
        self,
        database: Database,
        *,
        sql: int = 2,
        python: int = 0,
        lease: float = 30,
        environment: Mapping[str, str] | None = None,
        said: Path | None = None,
    ) -> None:
        self._database, self._places = database, sql + python
        command = [sys.executable, "-m", "pgdurable_core.cli", "worker", "--dsn", database.dsn]
        counts = ["--sql", str(sql), "--python", str(python), "--lease", str(lease)]
        with (said or Path(os.devnull)).open("ab") as output:
            self.process = subprocess.Popen(
                [*command, *counts],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until every place for SQL and python steps has its connection."""
        with self._database.connect() as owner:
            until(
                lambda: (
                    self.process.poll() is None
                    and value(
                        owner,
                        "select count(*) from pg_stat_activity where datname = current_database() and application_name ~ '^pgdurable .* (sql|python) [0-9]+$'",
                    )
                    == self._places
                ),
                20,
                lambda: f"the worker did not come up: {self.process.poll()}",
            )

    def kill(self) -> None:
        """SIGKILL to its group. Its children lead groups of their own, and have to end by themselves."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def end(self) -> int:
        """Ask it to end, as a person does, and return its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def worker_process(database: Database) -> Iterator[WorkerProcess]:
    """A worker that is ready, and killed at the end of the block."""
    worker = WorkerProcess(database)
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.kill()


WORKING = "state = 'active' and query like 'call df.work%'"


def kill_backend(database: Database, generator: random.Random, which: str = WORKING) -> bool:
    """Kill one backend, of those that execute df.work, with SIGKILL; the server restarts all. False when none does."""
    with psycopg.connect(database.superuser_dsn, autocommit=True) as superuser:
        rows = superuser.execute(
            f"select pid from pg_stat_activity where datname = current_database() and {which}".encode()
        ).fetchall()
    if not rows:
        return False
    os.kill(generator.choice(rows)[0], signal.SIGKILL)
    return True


def patiently(database: Database) -> Connection:
    """Connect to a server that may be in the middle of its crash recovery."""
    found: list[Connection] = []

    def connected() -> bool:
        with suppress(DatabaseUnavailableError):
            found.append(database.connect())
        return bool(found)

    until(connected, 30)
    return found[0]


def is_cut(error: psycopg.Error) -> bool:
    """Say whether an error is the end of a connection or of its server, and nothing else."""
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate[:3] in ("57P", "080")
    )


def chain(name: str, length: int, run: str = EFFECT) -> str:
    """Write a workflow of `length` steps one after another."""
    steps = [
        f"df.step('s{n}', run => $run${run}$run$" + (f", after => '{{s{n - 1}}}'" if n > 1 else "") + ")"
        for n in range(1, length + 1)
    ]
    return workflow(name, *steps)


def fan_out(name: str, width: int, run: str = EFFECT) -> str:
    """Write a workflow with one step, `width` items over its rows, and a step behind them all."""
    return workflow(
        name,
        f"df.step('rows', run => $$select g from generate_series(1, {width}) g$$)",
        f"df.step('item', each => 'rows', run => $run${run}$run$)",
        f"df.step('last', after => '{{item}}', run => $run${run}$run$)",
    )


def workflow(name: str, *steps: str) -> str:
    return f"select df.create_workflow('{name}', steps => array[{', '.join(steps)}])"


def start(connection: Connection, name: str, count: int = 1) -> list[str]:
    """Start instances, all in one statement and transaction."""
    rows = connection.execute("select df.start_workflow(%s) from generate_series(1, %s)", [name, count]).fetchall()
    return [row[0] for row in rows]


def value(connection: Connection, statement: str, *parameters: Any) -> Any:
    """Return the first column of the first row; the statement may use %s."""
    row = connection.execute(statement.encode(), parameters or None).fetchone()
    return None if row is None else row[0]


def count_open(connect: Callable[[], Connection]) -> int | None:
    try:
        with connect() as connection:
            return int(
                value(
                    connection,
                    "select (select count(*) from df._instances where state in ('pending', 'running')) "
                    "+ (select count(*) from df._commands)",
                )
            )
    except Exception:
        return None


def open_rows(connect: Callable[[], Connection]) -> object:
    """Show everything about the first instances that are open, for the message of a failed test."""
    with connect() as connection:
        rows = connection.execute(
            """
            select i.instance_id, i.workflow, i.state, i.generation,
                (select array_agg(e.kind order by event_id) from df._events e where e.instance_id = i.instance_id),
                (select string_agg(concat_ws(' ', E'\\n', p.step, p.key, p.kind, p.rule, p.upstream, p.is_join, s.scope_id,
                        s.state, s.lane, s.holder, s.is_settled, s.generation, s.due_at), '' order by p.step)
                    from df._plan_steps p left join df._steps s on s.instance_id = i.instance_id and s.step = p.step
                    where p.plan_id = i.plan_id),
                (select string_agg(E'\\n' || j::text, '' order by j.step, j.shard) from df._joins j
                    where j.instance_id = i.instance_id)
            from df._instances i where i.state in ('pending', 'running') order by 1 limit 2"""
        ).fetchall()
        return "\n".join(" ".join(map(str, row)) for row in rows)


def until(
    holds: Callable[[], bool],
    seconds: float = 30,
    tell: Callable[[], object] = lambda: "it never became so",
    *,
    every: float = 0.02,
) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(tell())
        time.sleep(every)


@contextmanager
def in_background(*targets: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Run functions in threads of their own until the block ends and they do; what they raise is raised again."""
    failed: list[BaseException] = []

    def guarded(target: Callable[[], object]) -> None:
        try:
            target()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    yield failed
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def pause(generator: random.Random, least: float, most: float) -> None:
    time.sleep(generator.uniform(least, most))
