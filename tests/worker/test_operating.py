"""What whoever operates a worker relies on: signals, restarts of the server, endpoint, log lines, the parent."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from server import Database
from worker_steps import gone, read_pid

from pgdurable_core.cli.worker import read_address
from pgdurable_core.embedded import Server, private_server
from pgdurable_core.engine import Client, connect
from pgdurable_core.errors import UsageError
from pgdurable_core.schema import install
from pgdurable_core.worker import Worker, WorkerEvent, WorkerOptions

# No proxy of the machine's between a test and its worker.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def get(url: str) -> tuple[int, str]:
    try:
        with OPENER.open(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def health(worker: Worker) -> tuple[int, dict[str, Any]]:
    code, body = get(f"{worker.status().health_url}/healthz")
    return code, json.loads(body)


def metrics(worker: Worker) -> dict[str, float]:
    code, body = get(f"{worker.status().health_url}/metrics")
    assert code == 200
    samples = [line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#")]
    assert len({name for name, _ in samples}) == len(samples)
    return {name: float(value) for name, value in samples}


@contextmanager
def running(dsn: str, **options: Any) -> Iterator[Worker]:
    stated = {"sql_sessions": 1, "python_slots": 1, "health": ("127.0.0.1", 0), "on_event": lambda _: None} | options
    worker = Worker(WorkerOptions(dsn, **stated))
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        assert worker.wait(30)


def begin(client: Client, name: str, *steps: str) -> str:
    client.connection.execute(f"select df.create_workflow('{name}', steps => array[{', '.join(steps)}])".encode())
    return client.start(name)


def finished(client: Client, instance_id: str) -> bool:
    return client.instance(instance_id).is_finished


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server with the engine that a test may stop."""
    # Not below pytest's own folder, which another run of pytest closes to the server's account.
    with tempfile.TemporaryDirectory(prefix="pgdurable-test-", ignore_cleanup_errors=True) as folder:
        server = private_server(Path(folder) / "postgres", settings={"fsync": "off"})
        with connect(server.dsn()) as connection:
            install(connection)
        yield server
        server.remove()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_went_away_is_waited_for_and_then_work_goes_on(own_server: Server, mode: Any) -> None:
    events: list[WorkerEvent] = []
    with running(own_server.dsn(), lease=2.0, on_event=events.append) as worker:
        with connect(own_server.dsn()) as connection:
            first = begin(Client(connection), "before", "df.step('a', run => 'select 1')")
            until(lambda: finished(Client(connection), first))
            caught = begin(Client(connection), "caught", "df.step('nap', run => 'select pg_sleep(3)', retries => 0)")
            until(lambda: bool(connection.execute("select from df.running").fetchall()))
        assert health(worker)[0] == 200
        own_server.stop(mode)
        until(lambda: health(worker)[0] == 503)
        code, told = health(worker)
        assert (code, told["is_healthy"], told["is_connected"], told["lease_remaining"]) == (503, False, False, 0.0)
        assert told["why"].startswith("its lease is lost; last trouble: ")
        assert metrics(worker)["pgdurable_engine_up"] == 0
        own_server.start()
        until(lambda: health(worker)[0] == 200)
        with connect(own_server.dsn()) as connection:
            client = Client(connection)
            after = begin(client, "after", "df.step('a', run => 'select 1')", "df.step('b', run => df.shell('true'))")
            until(lambda: finished(client, after) and finished(client, caught))
            assert {client.instance(each).status for each in (first, caught, after)} == {"completed"}
        troubles = [event for event in events if event.kind == "trouble"]
        assert 0 < len(troubles) < 60, "each trouble is told once, and looked at again with growing pauses"
        assert worker.status().state == "running"


def test_a_server_that_is_down_at_the_start_is_waited_for(own_server: Server) -> None:
    dsn = own_server.dsn()
    own_server.stop()
    with running(dsn) as worker:
        until(lambda: "last trouble" in health(worker)[1]["why"])
        assert health(worker)[0] == 503
        assert health(worker)[1]["why"].startswith("it has no lease yet")
        own_server.start()
        assert worker.wait_ready(20)
        assert health(worker)[0] == 200


def test_the_endpoint_tells_how_the_worker_is(database: Database, client: Client, tmp_path: Path) -> None:
    with running(database.dsn, name="w1") as worker:
        assert worker.wait_ready(10)
        code, told = health(worker)
        assert code == 200
        assert told.pop("lease_remaining") > 20
        assert told.pop("beat_age") < 10
        assert told.pop("busy") <= 3
        assert told == {
            "is_healthy": True,
            "why": None,
            "state": "running",
            "worker": "w1",
            "worker_id": worker.status().worker_id,
            "is_connected": True,
            "sessions": 3,
            "children": 0,
            "steps_done": 0,
        }
        out = tmp_path / "pid"
        begin(client, "long", f"df.step('sleep', run => df.shell('echo $$ > {out}; sleep 60'))")
        read_pid(out)
        assert health(worker)[1]["children"] == 1
        worker.drain()
        code, told = health(worker)
        assert (code, told["state"], told["why"]) == (
            503,
            "draining",
            "it is draining: running steps may finish, nothing new is claimed",
        )
        url = worker.status().health_url
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/healthz")


def test_metrics_count_steps_by_what_came_of_them_and_ask_the_engine(database: Database, client: Client) -> None:
    with running(database.dsn, name='a"b') as worker:
        instance = begin(
            client,
            "all",
            "df.step('sql', run => 'select 1')",
            "df.step('good', run => df.shell('true'), after => '{sql}')",
            "df.step('skip', run => df.shell('exit 99'))",
            "df.step('bad', run => df.shell('exit 1'))",
            "df.step('copy', run => 'create temporary table t on commit drop as select 1; copy t to ''/dev/null''')",
            "df.step('vacuum', run => 'vacuum pg_class')",
        )
        until(lambda: finished(client, instance))
        begin(
            client,
            "late",
            "df.step('sleep', run => df.shell('true'), after => '{a}')",
            "df.step('a', run => 'select 1')",
        )
        until(lambda: metrics(worker).get('pgdurable_worker_steps_total{lane="shell",outcome="completed"}') == 2)
        found = metrics(worker)
        steps = {
            name[29:-1]: value for name, value in found.items() if name.startswith("pgdurable_worker_steps_total{")
        }
        assert steps['lane="sql",outcome="ended"'] >= 2
        assert (steps['lane="shell",outcome="skipped"'], steps['lane="shell",outcome="failed"']) == (1, 1)
        assert sum(count for name, count in steps.items() if "session" in name) == 1
        assert found["pgdurable_worker_healthy"] == found["pgdurable_engine_up"] == 1
        assert found["pgdurable_workers_alive"] == 1
        assert found['pgdurable_worker_sessions{lanes="python,shell"}'] == 1
        assert found['pgdurable_worker_info{worker="a\\"b",version="0.1.0"}'] == 1
        assert found["pgdurable_worker_beat_age_seconds"] < 30


def test_a_scrape_holds_nothing_in_the_database(database: Database) -> None:
    with running(database.dsn, name="w") as worker:
        assert worker.wait_ready(10)
        assert metrics(worker)["pgdurable_engine_up"] == 1
        found = database.execute(
            "select a.state, a.backend_xid, a.backend_xmin, (select count(*) from pg_locks l where l.pid = a.pid)"
            " from pg_stat_activity a where a.application_name = 'pgdurable w metrics'"
        )
        assert found == [("idle", None, None, 0)]


def test_a_login_that_only_works_may_scrape(database: Database) -> None:
    login = database.server.create_role()
    database.execute(f"select df.grant_worker('{login}', '{database.owner}')")
    with running(database.dsn_as(login)) as worker:
        assert worker.wait_ready(10)
        assert metrics(worker)["pgdurable_engine_up"] == 1


def test_the_endpoint_listens_on_the_loopback_alone_unless_told(database: Database) -> None:
    listening = {}
    for host in ("127.0.0.1", "0.0.0.0"):
        with running(database.dsn, health=(host, 0)) as worker:
            port = int(str(worker.status().health_url).rpartition(":")[2])
            table = Path("/proc/net/tcp").read_text().splitlines()[1:]
            # local_address is little-endian hex, state 0A is LISTEN (proc(5)).
            listening[host] = [
                line.split()[1][:8]
                for line in table
                if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
            ]
    assert listening == {"127.0.0.1": ["0100007F"], "0.0.0.0": ["00000000"]}
    assert read_address("8008") == ("127.0.0.1", 8008)
    assert read_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert read_address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("text", ["", "x", "1.2.3.4", "host:", "::1:80", "99999", "-1", "host:8x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        read_address(text)


def test_an_address_that_is_taken_is_refused_before_anything_starts(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = Worker(WorkerOptions(database.dsn, health=("127.0.0.1", taken.getsockname()[1])))
        with pytest.raises(UsageError, match=r"cannot listen on 127\.0\.0\.1:\d+: "):
            worker.start()
    assert database.execute("select * from df.workers") == []


def test_anything_else_than_the_two_paths_is_not_found(database: Database) -> None:
    with running(database.dsn) as worker:
        assert get(f"{worker.status().health_url}/") == (404, "there are /healthz and /metrics\n")


def test_a_client_that_says_nothing_and_a_locked_database_keep_nobody_waiting(database: Database) -> None:
    with running(database.dsn) as worker:
        assert worker.wait_ready(10)
        url = str(worker.status().health_url)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))), database.connect() as other:
            assert health(worker)[0] == 200
            other.execute("begin; lock table df._lanes in access exclusive mode")
            assert metrics(worker)["pgdurable_engine_up"] == 0
            other.execute("rollback")
            time.sleep(1.1)
            assert metrics(worker)["pgdurable_engine_up"] == 1
            began = time.monotonic()
            worker.stop()
            assert worker.wait(20)
            assert time.monotonic() - began < 10


def command(database: Database, *options: str) -> list[str]:
    return [sys.executable, "-m", "pgdurable_core.cli", "worker", "--dsn", database.dsn, *options]


def test_json_lines_say_when_how_bad_what_and_where(database: Database, client: Client) -> None:
    instance = begin(client, "w", "df.step('hello', run => df.shell('true'))")
    options = ("--until-idle", "--sql", "1", "--python", "1", "--name", "w1", "--log-format", "json")
    done = subprocess.run(command(database, *options), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    for line in lines:
        assert list(line)[:5] == ["time", "level", "event", "worker", "message"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert (line["level"], line["worker"]) == ("info", "w1")
    assert [line["event"] for line in lines] == ["ready", "step", "drain", "stopped"]
    [step] = [line for line in lines if line["event"] == "step"]
    assert 0 <= step.pop("seconds") < 30
    assert {name: step[name] for name in list(step)[4:]} == {
        "message": f"{instance} hello: completed",
        "instance_id": instance,
        "step": "hello",
        "state": "completed",
        "lane": "shell",
        "attempt": 1,
    }


def test_text_lines_are_a_time_and_a_message(database: Database, client: Client) -> None:
    instance = begin(client, "w", "df.step('hello', run => df.shell('true'))")
    done = subprocess.run(
        command(database, "--until-idle", "--sql", "1", "--python", "1"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    told = [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in done.stderr.splitlines()]
    assert told[1:] == [
        f"{instance} hello: completed",
        "draining: running steps may finish, nothing new is claimed",
        "stopped",
    ]


def test_a_refusal_is_a_json_line_too(database: Database) -> None:
    done = subprocess.run(
        [*command(database), "--dsn", "host=127.0.0.1 port=1", "--log-format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    [line] = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, line["level"], line["event"]) == (3, "error", "failed")
    assert "Connection refused" in line["message"]


def test_the_command_drains_on_sigterm_and_stops_on_the_second(
    database: Database, client: Client, tmp_path: Path
) -> None:
    out = tmp_path / "pid"
    begin(client, "w", f"df.step('long', run => df.shell('echo $$ > {out}; sleep 60'))")
    with subprocess.Popen(command(database, "--log-format", "json"), stderr=subprocess.PIPE, text=True) as process:
        pid = read_pid(out)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read().count('"drain"') == 1
    assert gone(pid)
    assert database.execute("select status from df.steps") == [("ready",)]


def test_with_parent_the_command_ends_when_whoever_started_it_is_killed(
    database: Database, client: Client, tmp_path: Path
) -> None:
    out, workers = tmp_path / "pid", tmp_path / "worker"
    begin(client, "w", f"df.step('long', run => df.shell('echo $$ > {out}; sleep 60'))")
    launch = (
        "import pathlib, subprocess, sys, time; p = subprocess.Popen(sys.argv[2:], stderr=subprocess.DEVNULL);"
        " pathlib.Path(sys.argv[1]).write_text(str(p.pid)); time.sleep(60)"
    )
    started = [sys.executable, "-c", launch, str(workers), *command(database, "--with-parent")]
    with subprocess.Popen(started, env=dict(os.environ)) as parent:
        step = read_pid(out)
        parent.kill()
    assert gone(read_pid(workers))
    assert gone(step)
