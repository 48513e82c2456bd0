"""Python steps: what a callable is given, what comes back, and what happens when it does not come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_steps import KeptLog, Modules, attempt, claim, gone, read_pid, read_pids

from pgdurable_core.worker.claims import Abandoned, Completed, Failed, Outcome, Skipped
from pgdurable_core.worker.python_steps import PythonExecutor
from pgdurable_core.worker.secrets import Masker

ORDERS = """
import datetime, decimal, os, sys, uuid

def echo(**given):
    return repr(given)

def values():
    return {
        "decimal": decimal.Decimal("186375.00"), "int": 10**20, "float": 1.5, "none": None, "yes": True,
        "date": datetime.date(2026, 1, 2), "at": datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc),
        "id": uuid.UUID(int=7), "tuple": (1, "a"), "set": {3, 1, 2}, 5: "key",
    }

def nan():
    return {"rows": [1.0, float("nan")]}

def unknown():
    return [object()]

def total(totals, ds):
    return [f"{ds};{region};{amount}" for rows in totals for region, amount in rows]

def wants(ds, try_number=None, step="mine", *, params):
    return [ds, try_number, step, params]

def environment():
    return {name: value for name, value in os.environ.items() if name.startswith("PGDURABLE_")}

class AirflowSkipException(Exception): pass
class AirflowFailException(Exception): pass
class MySkip(AirflowSkipException): pass

def skip(): raise MySkip("nothing on Sundays")
def fail(): raise AirflowFailException("never again")
def leave(): sys.exit(3)

def broken(n):
    if n:
        return broken(n - 1)
    raise ValueError("no such region")

class TaskDecorator:
    def __init__(self, function):
        self.function = self.__wrapped__ = function
    def __call__(self, *args):
        raise AssertionError("makes a task, does not run it")

@TaskDecorator
def decorated(x): return x + 1

def logged(function):
    import functools
    @functools.wraps(function)
    def around(*args, **kwargs):
        return ["logged", function(*args, **kwargs)]
    return around

@logged
def kept(): return 1

async def later(): return "awaited"
"""


@pytest.fixture
def modules() -> Modules:
    return Modules(orders=ORDERS)


@pytest.fixture
def executor(modules: Modules) -> Iterator[PythonExecutor]:
    running = PythonExecutor(modules.fetch, Masker())
    yield running
    running.close()


def run(executor: PythonExecutor, modules: Modules, name: str, log: KeptLog | None = None, **fields: Any) -> Outcome:
    step = claim(callable=name, modules=modules.pins, **fields)
    kept = log or KeptLog()
    outcome = executor.run(attempt(step), kept)
    kept.flush()
    return outcome


def result(outcome: Outcome) -> Any:
    assert isinstance(outcome, Completed), outcome
    assert outcome.result is not None
    return json.loads(outcome.result)


def test_numbers_with_a_fraction_arrive_as_decimals_with_their_scale(
    executor: PythonExecutor, modules: Modules
) -> None:
    outcome = run(executor, modules, "orders:echo", args_text='{"amount": 186375.00, "n": 3}')
    assert result(outcome) == "{'amount': Decimal('186375.00'), 'n': 3}"


def test_rows_arrive_as_a_list_of_tuples_and_a_mapped_step_as_a_list_of_those(
    executor: PythonExecutor, modules: Modules
) -> None:
    rows = '{"__rows__": [["DE", 186375.00], ["FR", 2.50]]}'
    outcome = run(executor, modules, "orders:echo", args_text=f'{{"rows": {rows}}}')
    assert result(outcome) == "{'rows': [('DE', Decimal('186375.00')), ('FR', Decimal('2.50'))]}"
    outcome = run(executor, modules, "orders:total", args_text=f'{{"ds": "2026-11-21", "totals": [{rows}, {rows}]}}')
    assert result(outcome) == ["2026-11-21;DE;186375.00", "2026-11-21;FR;2.50"] * 2


def test_return_values_keep_their_digits_and_times_become_iso_text(executor: PythonExecutor, modules: Modules) -> None:
    outcome = run(executor, modules, "orders:values")
    assert outcome == Completed(
        '{"decimal": 186375.00, "int": 100000000000000000000, "float": 1.5, "none": null, "yes": true, '
        '"date": "2026-01-02", "at": "2026-01-02T03:00:00+00:00", "id": "00000000-0000-0000-0000-000000000007", '
        '"tuple": [1, "a"], "set": [1, 2, 3], "5": "key"}'
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("orders:nan", "return value: $.rows[1] is nan, which JSON cannot hold"),
        ("orders:unknown", "return value: $[0] is a builtins.object, which has no JSON form"),
        ("orders:missing", "module orders has no missing"),
        ("orders:ORDERS", "module orders has no ORDERS"),
        ("orders", "callable 'orders' is not of the form module:name"),
    ],
)
def test_what_would_fail_again_is_refused_and_not_retried(
    executor: PythonExecutor, modules: Modules, name: str, message: str
) -> None:
    outcome = run(executor, modules, name)
    assert isinstance(outcome, Failed)
    assert (outcome.error["sqlstate"], outcome.error["message"], outcome.retryable) == ("PD400", message, False)


def test_the_airflow_runtime_is_refused(executor: PythonExecutor, modules: Modules) -> None:
    outcome = run(executor, modules, "orders:echo", runtime="airflow")
    assert isinstance(outcome, Failed)
    assert (outcome.error["sqlstate"], outcome.retryable) == ("PD501", False)


def test_context_fills_the_parameters_that_nobody_gave(executor: PythonExecutor, modules: Modules) -> None:
    context = {"ds": "2026-11-21", "try_number": 2, "step": "load", "params": {"mode": "full"}, "run_id": "x"}
    outcome = run(executor, modules, "orders:wants", args={"ds": "given"}, context=context)
    assert result(outcome) == ["given", 2, "mine", {"mode": "full"}]


def test_the_child_knows_its_step_and_forgets_it_afterwards(executor: PythonExecutor, modules: Modules) -> None:
    assert result(run(executor, modules, "orders:environment")) == {
        "PGDURABLE_INSTANCE_ID": "0123456789ab",
        "PGDURABLE_STEP": "load[2]",
        "PGDURABLE_TRY_NUMBER": "2",
        "PGDURABLE_IDEMPOTENCY_KEY": "0123456789ab/3/0",
    }


def test_exceptions_become_errors_with_the_tail_of_the_traceback(executor: PythonExecutor, modules: Modules) -> None:
    outcome = run(executor, modules, "orders:broken", args={"n": 1})
    assert isinstance(outcome, Failed)
    assert outcome.retryable
    assert outcome.error["message"] == "ValueError: no such region"
    assert outcome.error["context"] == "orders:broken"
    detail = str(outcome.error["detail"])
    assert 'raise ValueError("no such region")' in detail
    assert "child.py" not in detail


def test_airflow_exceptions_are_known_by_name(executor: PythonExecutor, modules: Modules) -> None:
    assert run(executor, modules, "orders:skip") == Skipped("nothing on Sundays")
    failed = run(executor, modules, "orders:fail")
    assert isinstance(failed, Failed)
    assert not failed.retryable


def test_sys_exit_fails_the_step_and_not_the_child(executor: PythonExecutor, modules: Modules) -> None:
    outcome = run(executor, modules, "orders:leave")
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "the callable called sys.exit(3)"
    assert result(run(executor, modules, "orders:echo")) == "{}"


def test_task_objects_are_opened_and_plain_decorators_stay_on(executor: PythonExecutor, modules: Modules) -> None:
    assert result(run(executor, modules, "orders:decorated", args={"x": 1})) == 2
    assert result(run(executor, modules, "orders:kept")) == ["logged", 1]
    assert result(run(executor, modules, "orders:later")) == "awaited"


def test_pinned_modules_import_each_other_and_nothing_unpinned_beside_them(executor: PythonExecutor) -> None:
    store = Modules(
        orders="from common.alerts import shout\nimport common.other as other\ndef run(): return 1",
        common__alerts="def shout(): return 'ALERT'",
    )
    executor._modules._fetch = store.fetch
    outcome = run(executor, store, "orders:run")
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "ModuleNotFoundError: No module named 'common.other'"
    store.pins["common.other"] = store.add("common.other", "")
    store.pins["orders"] = store.add("orders", "from common.alerts import shout\ndef run(): return shout(), __file__")
    answer = result(run(executor, store, "orders:run"))
    assert answer == ["ALERT", f"/pgdurable/{store.pins['orders'][:12]}/orders.py"]


def test_another_version_of_a_module_replaces_the_first_one(executor: PythonExecutor) -> None:
    store = Modules(a="import b\ndef run(): return b.version", b="version = 1")
    executor._modules._fetch = store.fetch
    assert result(run(executor, store, "a:run")) == 1
    store.pins["b"] = store.add("b", "version = 2")
    assert result(run(executor, store, "a:run")) == 2
    assert store.fetched == ["a", "b", "b"]


def test_a_module_whose_content_is_not_what_was_pinned_never_runs(tmp_path: Path, modules: Modules) -> None:
    trace = tmp_path / "ran"
    executor = PythonExecutor(lambda _name, _sha256: f"open({str(trace)!r}, 'w').close()\ndef echo(): pass", Masker())
    outcome = run(executor, modules, "orders:echo")
    executor.close()
    assert isinstance(outcome, Failed)
    assert (outcome.error["sqlstate"], outcome.retryable) == ("PD403", False)
    assert "is pinned" in str(outcome.error["message"])
    assert not trace.exists()


def test_prints_and_log_records_are_sent_while_the_callable_runs(executor: PythonExecutor) -> None:
    store = Modules(
        m="""
import logging, pathlib, sys, time
def run(go):
    print("first")
    logging.getLogger("etl").info("second")
    while not pathlib.Path(go).exists():
        time.sleep(0.01)
    print("third", end="")
"""
    )
    executor._modules._fetch = store.fetch
    go = Path(os.environ.get("TMPDIR", "/tmp")) / f"pgdurable-go-{os.getpid()}"
    log = KeptLog()
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(executor, store, "m:run", log, args={"go": str(go)})))
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while len(log.sent) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(log.sent) == [("stderr", "INFO etl: second"), ("stdout", "first")]
        assert not outcomes
        go.touch()
        thread.join(10)
    finally:
        go.unlink(missing_ok=True)
    assert result(outcomes[0]) is None
    assert log.sent[-1] == ("stdout", "third")


def test_secret_values_are_masked_in_logs_and_errors(modules: Modules) -> None:
    store = Modules(m="def run():\n    print('key is s3cr3t-key')\n    raise ValueError('bad s3cr3t-key')")
    masker = Masker(["s3cr3t-key", "abc"])
    executor = PythonExecutor(store.fetch, masker)
    log = KeptLog(masker)
    outcome = run(executor, store, "m:run", log)
    executor.close()
    assert log.sent == [("stdout", "key is ***")]
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "ValueError: bad ***"
    assert "s3cr3t" not in str(outcome.error)
    assert masker.mask("abc") == "abc"


def test_a_child_that_dies_fails_the_step_and_is_replaced(executor: PythonExecutor) -> None:
    store = Modules(
        m="import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\ndef ok(): return os.getpid()"
    )
    executor._modules._fetch = store.fetch
    first = result(run(executor, store, "m:ok"))
    assert result(run(executor, store, "m:ok")) == first
    outcome = run(executor, store, "m:die")
    assert isinstance(outcome, Failed)
    assert outcome.error["message"] == "step load[2]: the Python process ended with signal 9 before it answered"
    assert outcome.retryable
    assert result(run(executor, store, "m:ok")) != first


def test_threads_left_behind_and_another_role_each_get_a_clean_child(executor: PythonExecutor) -> None:
    store = Modules(
        m="import os, threading, time\n"
        "def leave(): threading.Thread(target=time.sleep, args=(60,)).start(); return os.getpid()\n"
        "def ok(): return os.getpid()"
    )
    executor._modules._fetch = store.fetch
    left = result(run(executor, store, "m:leave", role="alice"))
    alice = result(run(executor, store, "m:ok", role="alice"))
    bob = result(run(executor, store, "m:ok", role="bob"))
    assert len({left, alice, bob}) == 3


def test_a_stop_ends_the_callable_and_everything_it_started(executor: PythonExecutor, tmp_path: Path) -> None:
    store = Modules(
        m="import pathlib, subprocess, time\n"
        "def run(out):\n"
        "    started = subprocess.Popen(['sleep', '60'])\n"
        "    pathlib.Path(out).write_text(str(started.pid))\n"
        "    time.sleep(60)"
    )
    executor._modules._fetch = store.fetch
    out = tmp_path / "pid"
    running = attempt(claim(callable="m:run", args={"out": str(out)}, modules=store.pins))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(executor.run(running, KeptLog())))
    thread.start()
    pid = read_pid(out)
    running.stop("timeout")
    thread.join(10)
    [outcome] = outcomes
    assert isinstance(outcome, Failed)
    assert outcome.error["sqlstate"] == "PD408"
    assert gone(pid)


def test_a_lost_lease_kills_the_child_and_nothing_is_reported(executor: PythonExecutor, tmp_path: Path) -> None:
    store = Modules(
        m="import os, pathlib, time, signal\n"
        "def run(out):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    pathlib.Path(out).write_text(str(os.getpid()))\n"
        "    time.sleep(60)"
    )
    executor._modules._fetch = store.fetch
    out = tmp_path / "pid"
    running = attempt(claim(callable="m:run", args={"out": str(out)}, modules=store.pins), lease_seconds=5)
    began = time.monotonic()
    outcome = executor.run(running, KeptLog())
    assert outcome == Abandoned("the worker's lease ended")
    assert time.monotonic() - began < 5
    assert gone(read_pid(out))


PARENT = """
import sys
from pgdurable_core.worker.python_steps import PythonExecutor
from pgdurable_core.worker.secrets import Masker
from worker_steps import KeptLog, Modules, attempt, claim
store = Modules(m=sys.argv[1])
step = claim(callable="m:run", args={"out": sys.argv[2]}, modules=store.pins)
PythonExecutor(store.fetch, Masker()).run(attempt(step), KeptLog())
"""
STUBBORN = """
import os, pathlib, signal, subprocess, time
def run(out):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started = subprocess.Popen(["bash", "-c", "trap '' TERM; sleep 60"])
    pathlib.Path(out).write_text(f"{os.getpid()} {started.pid}")
    time.sleep(60)
"""


def test_the_child_and_its_children_die_with_a_killed_worker(tmp_path: Path) -> None:
    out = tmp_path / "pids"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", PARENT, STUBBORN, str(out)], env=env) as parent:
        child, grandchild = read_pids(out, 2)
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(child)
    assert gone(grandchild)
