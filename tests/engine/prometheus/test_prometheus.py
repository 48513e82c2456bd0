"""df.prometheus: the engine's gauges, for whoever scrapes."""

from __future__ import annotations

import re

from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker


def gauges(engine: Engine) -> dict[str, float]:
    text = engine.value("select df.prometheus()")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_it_tells_what_waits_what_runs_and_who_works(engine: Engine) -> None:
    worker = Worker(engine)
    engine.begin(step("a", "select 1"), step("b", "df.shell('true')"), step("c", "df.shell('true')"))
    engine.begin(step("d", "select 1/0", retries="1"))
    engine.rows("update df._steps set ready_at = clock_timestamp() - interval '90 s' where step = 1")
    worker.must_claim("shell")
    found = gauges(engine)
    lanes = {lane: found[f'pgdurable_queue_length{{lane="{lane}"}}'] for lane in ("sql", "shell", "python", "session")}
    assert lanes == {"sql": 2, "shell": 1, "python": 0, "session": 0}
    assert 89 < found['pgdurable_queue_oldest_seconds{lane="sql"}'] < 110
    assert found["pgdurable_steps_running"] == 1
    assert found["pgdurable_workers_alive"] == 1
    assert found["pgdurable_worker_last_beat_seconds"] < 20
    assert found["pgdurable_instances_open"] == 2
    engine.work()
    assert (gauges(engine)["pgdurable_timers"], gauges(engine)["pgdurable_timer_overdue_seconds"]) == (1, 0)
    engine.pass_time("1 hour")
    assert 3200 < gauges(engine)["pgdurable_timer_overdue_seconds"] <= 3600


def test_it_is_text_as_prometheus_reads_it(engine: Engine) -> None:
    text = engine.value("select df.prometheus()")
    name = ""
    for line in text.removesuffix("\n").split("\n"):
        if help_line := re.fullmatch(r"# HELP (\w+) .+\.", line):
            assert help_line[1] != name
            name = help_line[1]
        elif type_line := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
            assert type_line[1] == name
        else:
            assert re.fullmatch(name + r'(\{\w+="\w+"\})? -?\d+(\.\d+)?', line)


def test_it_reads_only_uses_no_transaction_id_and_locks_no_row(engine: Engine) -> None:
    engine.begin(step("a", "select 1"))
    engine.rows("begin read only")
    gauges(engine)
    assert engine.value("select pg_current_xact_id_if_assigned()") is None
    modes = "select distinct mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation'"
    assert engine.column(modes) == ["AccessShareLock"]
    engine.rows("commit")


def test_workers_and_operators_may_ask_and_others_not(people: People) -> None:
    role, user = people.user()
    _, worker = people.worker(role)
    assert gauges(worker)["pgdurable_workers_alive"] == 0
    assert refused(user, "select df.prometheus()")[0] == "42501"
    people.owner.rows("select df.grant_operator(%s)", role)
    assert gauges(user)["pgdurable_workers_alive"] == 0
