"""The worker's life: lease, heartbeat, sleep, drain, stop, lost connections. The engine is a list of claims."""

from __future__ import annotations

import json
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

from pgdurable_core.errors import SchemaError, UsageError
from pgdurable_core.worker import Worker, WorkerEvent, WorkerOptions

FAKE = (Path(__file__).parent / "fake_engine.sql").read_text()


class Bench:
    """A database with a fake engine, and workers on it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.workers: list[Worker] = []
        self.events: list[WorkerEvent] = []

    def worker(self, **options: Any) -> Worker:
        stated = {"sql_sessions": 1, "python_slots": 1, "name": "w", "on_event": self.events.append} | options
        worker = Worker(WorkerOptions(self.database.dsn, **stated))
        self.workers.append(worker)
        worker.start()
        return worker

    def put(self, lane: str, notify: bool = False, **fields: Any) -> int:
        text = json.dumps(fields).replace("'", "''")
        [(token,)] = self.database.execute(
            f"insert into df.queue (lane, fields) values ('{lane}', '{text}') returning token"
        )
        if notify:
            self.database.execute(f"notify df, '{lane}'")
        return int(str(token))

    def state(self, token: int) -> str:
        return str(self.database.execute(f"select state from df.queue where token = {token}")[0][0])

    def wait(self, token: int, *states: str, seconds: float = 15) -> str:
        until(lambda: self.state(token) in states, seconds)
        return self.state(token)

    def query(self, text: str) -> object:
        return self.database.execute(text)[0][0]


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def bench(empty_database: Database) -> Iterator[Bench]:
    with empty_database.connect() as connection:
        connection.execute(FAKE.encode())
    made = Bench(empty_database)
    yield made
    for worker in made.workers:
        worker.stop()
        assert worker.wait(30)


def test_a_worker_serves_every_lane_and_gives_its_lease_back(bench: Bench) -> None:
    tokens = {
        "sql": bench.put("sql"),
        "shell": bench.put("shell", command="echo hello >&2; echo 7"),
        "session": bench.put("session", **{"class": "session", "role": "pgdurable", "sql": ["select 1.50 as n"]}),
    }
    worker = bench.worker()
    for token in tokens.values():
        assert bench.wait(token, "completed", "failed") == "completed"
    assert bench.query(f"select result::text from df.queue where token = {tokens['shell']}") == '"7"'
    assert bench.query(f"select result::text from df.queue where token = {tokens['session']}") == '[{"n":1.50}]'
    assert bench.database.execute("select stream, line from df.logs order by stream") == [
        ("stderr", "hello"),
        ("stdout", "7"),
    ]
    status = worker.status()
    assert (status.state, status.is_connected, status.steps_done) == ("running", True, 3)
    assert 0 < status.lease_remaining <= 30
    worker.drain()
    assert worker.wait(10)
    assert worker.status().state == "stopped"
    assert bench.query("select count(*) from df.seen where what = 'unregister'") == 1


def test_a_python_step_gets_its_module_from_the_database(bench: Bench) -> None:
    source = "def run(n): print('n is', n); return n"
    sha256 = "0d5b5f0a8e5a2b2f"
    bench.database.execute(
        f"insert into df.modules select 'm', encode(sha256($${source}$$::bytea), 'hex'), $${source}$$"
    )
    sha256 = str(bench.query("select sha256 from df.modules"))
    worker = bench.worker(sql_sessions=0)
    token = bench.put("python", callable="m:run", args_json='{"n": 1}', modules={"m": sha256})
    assert bench.wait(token, "completed", "failed") == "completed"
    missing = bench.put("python", callable="m:run", args_json='{"n": 1}', modules={"m": "0" * 64})
    assert bench.wait(missing, "completed", "failed") == "failed"
    assert bench.query("select string_agg(line, ';') from df.logs") == "n is 1"
    worker.drain()
    assert worker.wait(10)


def test_sleepers_are_registered_while_they_sleep_and_a_notification_wakes_them_at_once(bench: Bench) -> None:
    bench.worker()
    lanes = (
        "select coalesce((select array_to_string(array(select unnest(lanes) order by 1), ' ') from df.sleepers), '')"
    )
    until(lambda: bench.query(lanes) == "python session shell sql")
    time.sleep(0.3)
    waits = []
    for _ in range(5):
        token = bench.put("shell", command="true")
        began = time.monotonic()
        bench.database.execute("notify df, 'shell'")
        bench.wait(token, "completed")
        waits.append(time.monotonic() - began)
        time.sleep(0.3)
    # A poll would take half a second on average.
    assert sorted(waits)[2] < 0.4


def test_work_that_nobody_announced_is_found_within_about_a_second(bench: Bench) -> None:
    bench.worker()
    until(lambda: bool(bench.query("select count(*) from df.sleepers")))
    time.sleep(0.5)
    assert bench.wait(bench.put("sql"), "completed", seconds=3) == "completed"


def test_drain_lets_running_steps_finish_and_claims_nothing_more(bench: Bench) -> None:
    first = bench.put("shell", command="sleep 1; echo done")
    worker = bench.worker()
    bench.wait(first, "running")
    worker.drain()
    second = bench.put("shell", notify=True, command="true")
    assert worker.wait(15)
    assert (bench.state(first), bench.state(second)) == ("completed", "ready")


def test_stop_kills_what_runs_reports_nothing_and_gives_the_claims_back(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    token = bench.put("shell", command=f"echo $$ > {out}; sleep 60")
    session = bench.put("session", **{"class": "session", "role": "pgdurable", "sql": ["select pg_sleep(60)"]})
    worker = bench.worker()
    pid = read_pid(out)
    bench.wait(session, "running")
    began = time.monotonic()
    worker.stop()
    assert worker.wait(10)
    assert time.monotonic() - began < 5
    assert gone(pid)
    assert (bench.state(token), bench.state(session)) == ("ready", "ready")


def test_a_stop_row_ends_a_running_command_within_a_second(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    token = bench.put("shell", command=f"echo $$ > {out}; sleep 60")
    bench.worker()
    pid = read_pid(out)
    began = time.monotonic()
    bench.database.execute(f"update df.queue set stop = 'timeout' where token = {token}")
    bench.wait(token, "failed")
    assert time.monotonic() - began < 1.5
    assert gone(pid)
    assert bench.query(f"select error ->> 'sqlstate' from df.queue where token = {token}") == "PD408"


def test_a_worker_that_the_server_forgot_kills_its_children_and_registers_anew(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    token = bench.put("shell", command=f"echo $$ > {out}; sleep 60")
    worker = bench.worker(lease=2.0)
    pid = read_pid(out)
    bench.database.execute("update df.workers set is_known = false")
    assert gone(pid)
    until(lambda: bench.query("select count(*) from df.seen where what = 'register'") == 2)
    assert bench.state(token) == "running"
    assert bench.wait(bench.put("shell", command="true"), "completed") == "completed"
    assert any(event.kind == "lease" for event in bench.events)
    assert worker.status().lease_remaining > 0


def test_a_result_whose_claim_was_lost_is_dropped(bench: Bench) -> None:
    token = bench.put("shell", command="sleep 1")
    bench.worker()
    bench.wait(token, "running")
    bench.database.execute(f"update df.queue set state = 'ready', lane = 'nowhere' where token = {token}")
    until(lambda: any(event.data.get("state") == "abandoned" for event in bench.events))
    assert bench.state(token) == "ready"


def test_lost_connections_come_back_and_running_children_are_not_disturbed(bench: Bench) -> None:
    token = bench.put("shell", command="sleep 2; echo through")
    bench.worker()
    bench.wait(token, "running")
    bench.database.execute(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert bench.wait(token, "completed", "failed") == "completed"
    assert bench.wait(bench.put("sql"), "completed") == "completed"


def test_a_claim_whose_answer_was_lost_is_given_back_under_a_new_registration(bench: Bench) -> None:
    # The claim commits, and the connection breaks before the answer arrives.
    worker = bench.worker(sql_sessions=0)
    assert worker.wait_ready(10)
    first = worker.status().worker_id
    token = bench.put("shell", command="true")
    [slot] = [place for place in worker._places if place.lanes == ("python", "shell")]
    lease = worker._shared.lease
    assert lease is not None
    bench.wait(token, "completed")
    lost = bench.put("nowhere", command="true")
    bench.database.execute(
        f"update df.queue set lane = 'shell', state = 'running', worker_id = {first} where token = {lost}"
    )
    worker._shared.retire(lease)
    worker._wake()
    assert slot.thread.is_alive()
    assert bench.wait(lost, "completed") == "completed"
    assert worker.status().worker_id not in (None, first)


def test_until_idle_ends_when_nothing_is_left(bench: Bench) -> None:
    tokens = [bench.put("shell", command="sleep 0.2"), bench.put("sql"), bench.put("sql")]
    worker = bench.worker(until_idle=True)
    assert worker.wait(20)
    assert [bench.state(token) for token in tokens] == ["completed"] * 3


def test_a_database_without_the_engine_is_refused(empty_database: Database) -> None:
    worker = Worker(WorkerOptions(empty_database.dsn, on_event=lambda _event: None))
    worker.start()
    with pytest.raises(SchemaError, match="does not hold the engine"):
        worker.wait(20)


@pytest.mark.parametrize("until_idle", [False, True])
def test_a_role_without_rights_is_refused_and_told_how_it_gets_them(bench: Bench, until_idle: bool) -> None:
    stranger = bench.database.server.create_role()
    dsn = bench.database.dsn_as(stranger)
    worker = Worker(WorkerOptions(dsn, until_idle=until_idle, on_event=bench.events.append))
    worker.start()
    with pytest.raises(SchemaError, match="permission denied for schema df") as refused:
        worker.wait(20)
    assert (refused.value.exit_code, refused.value.sqlstate) == (3, "42501")
    assert f"select df.grant_worker('{stranger}', 'role')" in (refused.value.hint or "")
    assert not worker.wait_ready(1)


def test_another_refusal_before_the_first_lease_ends_the_worker_in_the_words_of_the_server(bench: Bench) -> None:
    bench.database.execute("drop function df.register_worker")
    worker = Worker(WorkerOptions(bench.database.dsn, on_event=bench.events.append))
    worker.start()
    with pytest.raises(SchemaError, match=r"function df\.register_worker") as refused:
        worker.wait(20)
    assert refused.value.sqlstate == "42883"
    assert "grant_worker" not in (refused.value.hint or "")


@pytest.mark.parametrize("sqlstate", ["08006", "53200", "57014"])
def test_what_waiting_can_heal_is_waited_for(bench: Bench, sqlstate: str) -> None:
    register = "df.register_worker(name text, host text, pid int, version text, lease interval) returns bigint"
    bench.database.execute(
        f"""
        create sequence df.tries;
        create or replace function {register} language plpgsql as $$
        begin
            if nextval('df.tries') < 3 then raise exception 'not yet' using errcode = '{sqlstate}'; end if;
            return 1;
        end $$
        """
    )
    assert bench.worker().wait_ready(20)


def test_a_refusal_after_the_first_lease_is_waited_out(bench: Bench) -> None:
    worker = bench.worker(lease=2.0)
    assert worker.wait_ready(10)
    bench.database.execute("alter function df.register_worker rename to hidden; update df.workers set is_known = false")
    until(lambda: any(event.kind == "trouble" and "register_worker" in event.message for event in bench.events))
    bench.database.execute("alter function df.hidden rename to register_worker")
    assert bench.wait(bench.put("shell", command="true"), "completed") == "completed"


def test_a_fault_of_the_supervisor_ends_the_worker_gives_its_claims_back_and_is_raised(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pid"
    token = bench.put("shell", command=f"echo $$ > {out}; sleep 60")
    worker = Worker(WorkerOptions(bench.database.dsn, on_event=bench.events.append))
    worker.start()
    pid = read_pid(out)
    bench.wait(token, "running")

    def broken() -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(worker, "_tell_sleepers", broken)
    worker._wake()
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        worker.wait(20)
    assert worker.status().state == "stopped"
    assert gone(pid)
    assert bench.state(token) == "ready"


def test_the_process_of_a_worker_that_failed_does_not_end_with_0(bench: Bench) -> None:
    broken = PROCESS.replace("options =", "Worker._beat = None\noptions =")
    assert broken != PROCESS
    with process(bench, code=broken) as running:
        assert running.wait(20) not in (0, None)
        assert running.stderr is not None
        assert "TypeError" in running.stderr.read()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lease": float("nan")}, "lease"),
        ({"lease": float("inf")}, "lease"),
        ({"lease": 0.5}, "lease"),
        ({"sql_sessions": -1}, "SQL sessions"),
        ({"python_slots": -1}, "processes"),
        ({"sql_sessions": 0, "python_slots": 0}, "at least one"),
    ],
)
def test_options_that_make_no_worker_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        WorkerOptions("host=nowhere", **options)


PROCESS = """
import sys
from pgdurable_core.worker.supervisor import Worker
from pgdurable_core.worker import WorkerOptions, run_worker
dies = "die" in sys.argv
options = WorkerOptions(sys.argv[1], sql_sessions=1, python_slots=1, json_logs=True, die_with_parent=dies)
sys.exit(run_worker(options))
"""


def process(bench: Bench, *extra: str, code: str = PROCESS) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code, bench.database.dsn, *extra], env=env, stderr=subprocess.PIPE, text=True
    )


def test_the_first_signal_drains_the_second_stops(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    token = bench.put("shell", command=f"echo $$ > {out}; sleep 60")
    with process(bench) as running:
        pid = read_pid(out)
        running.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert running.poll() is None
        assert bench.state(token) == "running"
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 0
        assert running.stderr is not None
        told = [json.loads(line) for line in running.stderr]
    assert gone(pid)
    assert bench.state(token) == "ready"
    assert [event["event"] for event in told if event["event"] != "trouble"] == ["ready", "drain", "step", "stopped"]
    [drain] = [event["message"] for event in told if event["event"] == "drain"]
    assert "a second Ctrl-C or SIGTERM stops them at once" in drain


def test_sigkill_of_the_worker_ends_its_children(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    bench.put("shell", command=f"trap '' TERM; echo $$ > {out}; sleep 60")
    with process(bench) as running:
        pid = read_pid(out)
        running.kill()
    assert gone(pid)


def test_a_worker_dies_with_its_parent_when_asked(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "pid"
    bench.put("shell", command=f"echo $PPID > {out}; sleep 60")
    launch = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", launch, sys.executable, "-c", PROCESS, bench.database.dsn, "die"]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as parent:
        guard = read_pid(out)
        parent.kill()
    assert gone(guard)
    connections = "select count(*) from pg_stat_activity where application_name like 'pgdurable %-%'"
    until(lambda: bench.query(connections + " and datname = current_database()") == 0)
