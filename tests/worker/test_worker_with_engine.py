"""Workers on the real engine: each lane from claim to result, and what survives when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server import Database
from worker_steps import gone, read_pid

from pgdurable_core.engine import Client, InstanceRow
from pgdurable_core.worker import Worker, WorkerEvent, WorkerOptions


class Bench:
    """A database with the engine, whose owner deploys, starts, and runs workers."""

    def __init__(self, database: Database, client: Client) -> None:
        self.database, self.client = database, client
        self.workers: list[Worker] = []
        self.events: list[WorkerEvent] = []

    def worker(self, **options: Any) -> Worker:
        stated = {"sql_sessions": 2, "python_slots": 2, "on_event": self.events.append} | options
        worker = Worker(WorkerOptions(self.database.dsn, **stated))
        self.workers.append(worker)
        worker.start()
        return worker

    def start(self, name: str, *steps: str, extra: str = "") -> str:
        """Deploy a workflow of these df.step(…) calls and start it."""
        self.client.connection.execute(
            f"select df.create_workflow('{name}', steps => array[{', '.join(steps)}]{extra})".encode()
        )
        return self.client.start(name)

    def wait(self, instance_id: str, seconds: float = 30) -> InstanceRow:
        try:
            until(lambda: self.client.instance(instance_id).is_finished, seconds)
        except AssertionError:
            told = [event.message for event in self.events]
            raise AssertionError(f"{told} {self.client.steps(instance_id)}") from None
        return self.client.instance(instance_id)

    def steps(self, instance_id: str) -> dict[str, tuple[str, object]]:
        return {step.label: (step.status, step.result) for step in self.client.steps(instance_id)}

    def error(self, instance_id: str, key: str) -> dict[str, Any]:
        [found] = [step.error for step in self.client.steps(instance_id) if step.key == key]
        assert isinstance(found, dict)
        return found

    def query(self, text: str) -> object:
        return self.database.execute(text)[0][0]


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def bench(database: Database, client: Client) -> Iterator[Bench]:
    made = Bench(database, client)
    yield made
    for worker in made.workers:
        worker.stop()
        assert worker.wait(30)


SOURCE = """
def total(totals, ds=None, factor=1):
    print("rows", [len(rows) for rows in totals])
    return {"lines": [f"{region};{amount}" for rows in totals for region, amount in rows], "factor": factor}
"""


def test_sql_feeds_a_mapped_step_whose_rows_python_gets_as_tuples(bench: Bench) -> None:
    sha256 = bench.client.set_module("orders", SOURCE)
    bench.worker()
    instance = bench.start(
        "orders",
        "df.step('regions', run => $$select code from (values ('DE'), ('FR')) v(code)$$)",
        "df.step('amount', each => 'regions', run => $$select $item.code as code, 186375.00 as amount$$)",
        "df.step('total', after => '{amount}', run => df.python('orders:total', "
        """'{"totals": {"xcom": "amount"}, "factor": 1.50}'))""",
        extra=f""", modules => '{{"orders": "sha256:{sha256}"}}'""",
    )
    assert bench.wait(instance).status == "completed"
    total = bench.steps(instance)["total"]
    assert total == ("completed", {"lines": ["DE;186375.00", "FR;186375.00"], "factor": 1.5})
    lines = [(line.key, line.stream, line.line) for line in bench.client.logs(instance)]
    assert lines == [("total", "stdout", "rows [1, 1]")]


def test_shell_steps_succeed_skip_and_fail_with_their_output_kept(bench: Bench) -> None:
    bench.worker()
    instance = bench.start(
        "shells",
        "df.step('good', run => df.shell('echo $PGDURABLE_STEP; echo {ds_nodash}'))",
        "df.step('skip', run => df.shell('exit 99'))",
        "df.step('bad', run => df.shell('echo no such file >&2; exit 3'))",
    )
    assert bench.wait(instance).status == "failed"
    steps = bench.steps(instance)
    assert {key: state for key, (state, _) in steps.items()} == {
        "good": "completed",
        "skip": "skipped",
        "bad": "failed",
    }
    assert bench.error(instance, "bad")["message"] == "step bad: the command ended with exit code 3"
    assert bench.error(instance, "bad")["detail"] == "no such file"
    lines = {(line.key, line.line) for line in bench.client.logs(instance)}
    assert ("good", "good") in lines
    assert ("bad", "no such file") in lines


def test_an_error_that_postgresql_text_cannot_hold_is_stored_nevertheless(bench: Bench) -> None:
    sha256 = bench.client.set_module("odd", "def run(): raise ValueError('a\\0b\\ud800c')")
    bench.worker()
    instance = bench.start(
        "odd", "df.step('s', run => df.python('odd:run'))", extra=f""", modules => '{{"odd": "sha256:{sha256}"}}'"""
    )
    assert bench.wait(instance).status == "failed"
    assert bench.error(instance, "s")["message"] == "ValueError: a\ufffdb?c"


def test_session_sql_commits_its_effects_with_its_result(bench: Bench) -> None:
    bench.database.execute("create table src as select generate_series(1, 3) as x")
    bench.worker()
    instance = bench.start(
        "into",
        "df.step('copy', run => $$select x, '{step}'::text as step into dst from src$$)",
        "df.step('read', after => '{copy}', run => $$select count(*) as n, min(step) as step from dst$$)",
    )
    assert bench.wait(instance).status == "completed", [step.error for step in bench.client.steps(instance)]
    assert bench.steps(instance)["read"] == ("completed", [{"n": 3, "step": "copy"}])


def test_autonomous_statements_run_outside_a_transaction(bench: Bench) -> None:
    bench.database.execute("create table t (x int)")
    bench.worker()
    instance = bench.start("night", "df.step('vacuum', run => 'vacuum t')")
    assert bench.wait(instance).status == "completed", [step.error for step in bench.client.steps(instance)]


def test_a_failed_attempt_is_tried_again_with_the_same_idempotency_key(bench: Bench, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    bench.worker()
    command = f'echo "$PGDURABLE_TRY_NUMBER $PGDURABLE_IDEMPOTENCY_KEY" >> {trace}; [ $(wc -l < {trace}) -ge 2 ]'
    instance = bench.start(
        "again", f"df.step('s', retries => 2, retry_delay => '0.1 s', run => df.shell($c${command}$c$))"
    )
    assert bench.wait(instance).status == "completed"
    tries = [line.split() for line in trace.read_text().splitlines()]
    assert [number for number, _ in tries] == ["1", "2"]
    assert len({key for _, key in tries}) == 1


def test_cancel_kills_the_command_and_the_statement_within_two_seconds(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    bench.worker()
    instance = bench.start(
        "long",
        f"df.step('shell', run => df.shell('echo $$ > {out}; sleep 60'))",
        "df.step('plain', run => 'select pg_sleep(60)')",
        "df.step('session', run => 'select 1 as s into never from pg_sleep(60)')",
    )
    pid = read_pid(out)
    asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    until(lambda: bench.query(asleep) == 2)
    began = time.monotonic()
    bench.client.cancel(instance, "enough")
    assert bench.wait(instance, 10).status == "cancelled"
    assert gone(pid)
    until(lambda: bench.query(asleep) == 0, 3)
    assert time.monotonic() - began < 4
    until(lambda: {state for state, _ in bench.steps(instance).values()} == {"cancelled"}, 5)


def test_a_timeout_ends_the_attempt_and_says_so(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    bench.worker()
    instance = bench.start("slow", f"df.step('s', timeout => '1 s', run => df.shell('echo $$ > {out}; sleep 60'))")
    assert bench.wait(instance, 10).status == "failed"
    assert bench.error(instance, "s")["sqlstate"] == "PD408"
    assert gone(read_pid(out))


PROCESS = """
import sys
from pgdurable_core.worker import WorkerOptions, run_worker
sys.exit(run_worker(WorkerOptions(sys.argv[1], sql_sessions=1, python_slots=1, lease=2.0)))
"""


def test_a_step_of_a_killed_worker_runs_again_elsewhere(bench: Bench, tmp_path: Path) -> None:
    out, trace = tmp_path / "pid", tmp_path / "trace"
    command = f"echo $PGDURABLE_IDEMPOTENCY_KEY >> {trace}; echo $$ > {out}; [ $(wc -l < {trace}) -ge 2 ] || sleep 60"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS, bench.database.dsn], env=env, stderr=subprocess.DEVNULL
    ) as doomed:
        instance = bench.start("twice", f"df.step('s', run => df.shell($c${command}$c$))")
        pid = read_pid(out)
        doomed.send_signal(signal.SIGKILL)
    assert gone(pid)
    bench.worker()
    assert bench.wait(instance).status == "completed"
    keys = trace.read_text().split()
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_stopped_worker_gives_its_steps_back_at_once(bench: Bench, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = f"echo $$ >> {trace}; [ $(wc -l < {trace}) -ge 2 ] || sleep 60"
    first = bench.worker()
    instance = bench.start("back", f"df.step('s', run => df.shell($c${command}$c$))")
    pid = read_pid(trace)
    first.stop()
    assert first.wait(10)
    assert gone(pid)
    bench.worker()
    assert bench.wait(instance, 10).status == "completed"


def test_until_idle_runs_everything_there_is_and_ends(bench: Bench) -> None:
    steps = ["df.step('a', run => 'select 1 as x')", "df.step('b', after => '{a}', run => df.shell('echo 1'))"]
    instances = [bench.start(f"w{number}", *steps) for number in range(5)]
    worker = bench.worker(until_idle=True)
    assert worker.wait(30)
    assert {bench.client.instance(instance).status for instance in instances} == {"completed"}
    assert worker.status().state == "stopped"


def test_notices_of_a_plain_step_are_kept_though_it_rolled_back(bench: Bench) -> None:
    failing = "do $x$ begin raise notice 'half way'; raise exception 'no'; end $x$ "
    instance = bench.start("noisy", f"df.step('a', run => $${failing}$$)")
    bench.worker()
    assert bench.wait(instance).status == "failed"
    until(lambda: bench.query("select count(*) from df.logs") == 1, 5)
    assert (
        bench.query("select key || ' ' || attempt || ' ' || stream || ' ' || line from df.logs")
        == "a 1 notice NOTICE: half way"
    )


def test_notices_of_quick_steps_are_kept_on_every_lane(bench: Bench) -> None:
    """The first twenty runs of `a` claim with a commit, the later ones with the effects; `b` is claimed ahead."""
    steps = [
        f"df.step('{key}', run => $$do $x$ begin raise notice '{key} was here'; end $x$ $${more})"
        for key, more in (("a", ""), ("b", ", after => '{a}'"))
    ]
    instances = [bench.start("quick", *steps)]
    bench.worker(sql_sessions=1)
    instances += [bench.client.start("quick") for _ in range(29)]
    assert {bench.wait(instance).status for instance in instances} == {"completed"}
    until(lambda: bench.query("select count(*) from df.logs") == 60, 5)
    assert (
        bench.query("select count(*) from df.logs where attempt = 1 and line = 'NOTICE: ' || key || ' was here'") == 60
    )


def test_a_worker_login_of_its_own_serves_a_role_in_every_lane(bench: Bench) -> None:
    server = bench.database.server
    alice, login = server.create_role(), server.create_role()
    server.run("grant {} to {}", alice, bench.database.owner)
    bench.database.execute(f"grant create on schema public to {alice}")
    bench.database.execute(f"select df.grant_usage('{alice}'); select df.grant_worker('{login}', '{alice}')")
    logins = {alice: bench.database.dsn_as(alice)}
    worker = Worker(WorkerOptions(bench.database.dsn_as(login), logins=logins, on_event=bench.events.append))
    bench.workers.append(worker)
    worker.start()
    with bench.database.connect(alice) as connection:
        connection.execute(
            """
            select df.create_workflow('mine', steps => array[
                df.step('plain', run => $$select current_user::text as who$$),
                df.step('session', run => $$select session_user::text as who into public.t_{step}$$),
                df.step('shell', run => df.shell('echo from shell')),
                df.step('vacuum', after => '{session}', run => 'vacuum public.t_session')])
            """
        )
        mine = Client(connection)
        instance = mine.start("mine")
        bench.wait(instance)
        steps = {step.key: (step.status, step.result, step.error) for step in mine.steps(instance)}
        assert steps == {
            "plain": ("completed", [{"who": alice}], None),
            "session": ("completed", None, None),
            "shell": ("completed", "from shell", None),
            "vacuum": ("completed", None, None),
        }
        assert connection.execute("select who from public.t_session").fetchall() == [(alice,)]
        assert [line.line for line in mine.logs(instance)] == ["from shell"]
