"""A real PgBouncer between worker and server: recognised in transaction mode, lived with in session mode."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from server import Database

from pgdurable_core.engine import Client, connect
from pgdurable_core.errors import SetupError
from pgdurable_core.worker import Worker, WorkerEvent, WorkerOptions
from pgdurable_core.worker.pooler import find_pooler

# Debian keeps it where only root looks.
PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not on this machine (Debian: apt-get install)")

Pool = Callable[..., str]


@pytest.fixture
def pool(database: Database) -> Iterator[Pool]:
    """Start a PgBouncer before the test's database; returns the DSN through it."""
    if database.server.private is None:
        pytest.skip("the pool logs in without a password, which somebody else's server need not allow")
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(pgbouncer(database, settings))


@contextmanager
def pgbouncer(database: Database, settings: dict[str, Any]) -> Iterator[str]:
    assert PROGRAM is not None
    assert database.server.private is not None
    data = database.server.private.data
    # It refuses to run as root, and the server's socket is open to the server's own account.
    account = data.stat()
    with tempfile.TemporaryDirectory(prefix="pgdurable-pool-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        there = conninfo_to_dict(database.dsn)
        users, config = Path(folder) / "users", Path(folder) / "pgbouncer.ini"
        users.write_text(f'"{database.owner}" ""\n')
        stated = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "default_pool_size": 20,
            **settings,
        }
        config.write_text(
            f"[databases]\n* = host={there['host']} port={there.get('port', 5432)}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in stated.items())
        )
        for path in (Path(folder), users, config):
            os.chown(path, account.st_uid, account.st_gid)
        as_server = {"user": account.st_uid, "group": account.st_gid} if os.geteuid() == 0 else {}
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([PROGRAM, config], stdout=log, stderr=log, **as_server)
        try:
            deadline = time.monotonic() + 10
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (Path(folder) / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield make_conninfo(host="127.0.0.1", port=port, dbname=database.name, user=database.owner)
        finally:
            process.terminate()
            process.wait(10)


TRANSACTIONS = {"pool_mode": "transaction", "ignore_startup_parameters": "options"}
SESSIONS = {"pool_mode": "session", "ignore_startup_parameters": "options"}


def between(dsn: str) -> str:
    with connect(dsn) as connection:
        return find_pooler(connection, dsn)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TRANSACTIONS, "transaction pooler"),
        (TRANSACTIONS | {"server_round_robin": 1, "min_pool_size": 5}, "transaction pooler"),
        (TRANSACTIONS | {"default_pool_size": 1}, "transaction pooler"),
        (TRANSACTIONS | {"pool_mode": "statement"}, "transaction pooler"),
        (SESSIONS, "session pooler"),
        (SESSIONS | {"default_pool_size": 1}, "session pooler"),
    ],
)
def test_what_stands_between_is_told_by_its_sessions(pool: Pool, settings: dict[str, Any], expected: str) -> None:
    assert between(pool(**settings)) == expected


def test_a_server_without_a_pool_is_told_from_one_with(database: Database) -> None:
    assert between(database.dsn) == "nothing"


def test_a_worker_refuses_transaction_mode_and_says_what_to_do(pool: Pool) -> None:
    worker = Worker(WorkerOptions(pool(**TRANSACTIONS), on_event=lambda _: None))
    worker.start()
    with pytest.raises(SetupError, match="a pooler in transaction mode stands between here and PostgreSQL") as refused:
        worker.wait(30)
    assert refused.value.exit_code == 3
    assert "LISTEN" in str(refused.value.detail)
    assert refused.value.hint == "connect to PostgreSQL's own port, or to a pool with pool_mode = session"


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pool_that_refuses_a_workers_settings_is_explained(pool: Pool, mode: str) -> None:
    dsn = pool(pool_mode=mode)
    command = [sys.executable, "-m", "pgdurable_core.cli", "worker", "--dsn", dsn, "--log-format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["stopped", "failed"]
    line = lines[-1]
    assert done.returncode == 3
    assert (
        line["message"] == "a pooler stands between here and PostgreSQL, and refuses the settings of a worker's session"
    )
    assert "unsupported startup parameter" in line["detail"]
    assert line["hint"].endswith("pool_mode = session and ignore_startup_parameters = options")


def test_a_worker_works_through_a_pool_in_session_mode_and_says_that_it_is_there(pool: Pool, client: Client) -> None:
    events: list[WorkerEvent] = []
    worker = Worker(WorkerOptions(pool(**SESSIONS), sql_sessions=1, python_slots=1, on_event=events.append))
    worker.start()
    try:
        assert worker.wait_ready(20)
        client.connection.execute(
            "select df.create_workflow('w', steps => array[df.step('a', run => 'select 1'),"
            " df.step('b', run => df.shell('true'), after => '{a}')])"
        )
        instance = client.start("w")
        deadline = time.monotonic() + 20
        while not client.instance(instance).is_finished:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert client.instance(instance).status == "completed"
        assert [event.kind for event in events][:2] == ["pooler", "ready"]
    finally:
        worker.stop()
        assert worker.wait(30)


@pytest.mark.parametrize(("settings", "level"), [(TRANSACTIONS, "bad"), (SESSIONS, "warn")])
def test_doctor_finds_the_pool(pool: Pool, settings: dict[str, Any], level: str) -> None:
    command = [sys.executable, "-m", "pgdurable_core.cli", "doctor", "--format", "json", "--dsn", pool(**settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    checks = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
    assert (checks["pooler"]["level"], len(checks)) == (level, 29)
