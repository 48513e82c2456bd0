"""Starting, watching, explaining, retrying and cancelling as on-call does it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable

import pytest
from commands import Pgdurable, Said
from server import Database

WORKFLOWS = """
select df.create_workflow('good', schedule => '0 6 * * *', params => '{"x": {"default": 1}}', steps => array[
  df.step('one', run => 'create table if not exists results (x int)'),
  df.step('two', after => '{one}', run => $$insert into results select $params.x returning x$$),
  df.step('three', after => '{two}', run => df.check('select true, 1 = 1'))
]);
select df.create_workflow('bad', steps => array[
  df.step('one', run => 'select 1'),
  df.step('broken', after => '{one}', run => 'select * from missing', source => 'dags/bad.py:7'),
  df.step('behind', after => '{broken}', run => 'select 1')
]);
select df.create_workflow('slow', steps => array[df.step('sleep', run => 'select pg_sleep(60)')]);
select df.create_workflow('chatty', steps => array[
  df.step('say', run => $$do 'begin raise notice ''from sql''; end'$$),
  df.step('shell', run => df.shell('echo from shell; echo to stderr >&2'))
]);
"""

Run = Callable[..., Said]


@pytest.fixture
def on(pgdurable: Pgdurable, database: Database) -> Run:
    """The command on a database with a few workflows."""
    database.execute(WORKFLOWS)
    return lambda *arguments, **more: pgdurable(*arguments, "--dsn", database.dsn, **more)


def started(on: Run, *arguments: str) -> str:
    said = on("start", *arguments)
    assert said.status == 0, said.err
    return said.out.strip()


def test_start_prints_an_id_and_the_same_run_key_the_same_id(on: Run) -> None:
    first = started(on, "good", "--run-key", "monday", "--date", "2026-11-21", "--param", "x=7")
    assert first == started(on, "good", "--run-key", "monday")
    assert first != started(on, "good")
    assert len(first) == 12


def test_start_says_which_date_it_took_as_steps_will_see_it(on: Run) -> None:
    given = on("start", "good", "--date", "2026-11-21T00:30+02:00", "--run-key", "k")
    assert f"Run       good {given.out[:8]}   ds 2026-11-20\n" in given.err
    again = on("start", "good", "--date", "2026-11-25", "--run-key", "k", "--format", "json")
    assert again.json["logical_date"] == "2026-11-20T22:30:00+00:00"
    assert "ds 2026-11-20\n" in again.err, "the run key's own instance has the date it was started with"
    none = on("start", "good")
    assert f"Run       good {none.out[:8]}   no logical date, so no {{ds}}: --date gives one\n" in none.err
    assert "ds 20 Nov" in on("status", PGTZ="Europe/Berlin").out


def test_a_parameter_that_is_not_declared_is_refused_with_those_that_are(on: Run, database: Database) -> None:
    database.execute(
        'select df.create_workflow(\'modes\', params => \'{"mode": {"default": 1}, "keep": {"default": 2}}\','
        " steps => array[df.step('a', run => 'select 1')])"
    )
    said = on("start", "modes", "--param", "mod=2")
    assert (said.status, said.out) == (2, "")
    assert "modes declares no parameter mod; did you mean mode?" in said.err
    assert "its parameters: keep, mode" in said.err
    assert "it declares none" in on("start", "bad", "--param", "x=1").err
    assert database.execute("select * from df.instances") == []
    assert on("start", "missing", "--param", "x=1").status == 1
    taken = database.execute("""select df.start_workflow('modes', params => '{"other": 3}')""")
    assert len(taken) == 1, "the engine takes what Airflow takes"


def test_ctrl_c_while_waiting_names_the_instance_and_leaves_it(
    on: Run, pgdurable: Pgdurable, database: Database
) -> None:
    process = pgdurable.start("start", "slow", "--wait", "--dsn", database.dsn)
    _until(lambda: database.execute("select 1 from df.instances") != [])
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    [(instance_id,)] = database.execute("select instance_id from df.instances where status in ('pending', 'running')")
    assert process.returncode == 130
    assert [line for line in err.splitlines() if line][-4:] == [
        f"Left      slow {instance_id} goes on without this command, while a worker runs there",
        f"          pgdurable explain {instance_id[:8]} --dsn …, pgdurable status --watch --dsn …",
        f"          pgdurable cancel {instance_id[:8]} --dsn …",
        "interrupted",
    ]


def test_a_cancel_takes_back_a_retry_that_no_worker_has_begun(on: Run) -> None:
    instance_id = started(on, "bad")
    on("worker", "--until-idle")
    assert on("cancel", instance_id).status == 1
    assert on("retry", instance_id).status == 0
    said = on("cancel", instance_id)
    assert said.err == f"Asked     bad {instance_id[:8]}: the retry that waits is taken back; it stays failed\n"
    on("worker", "--until-idle")
    found = on("explain", instance_id, "--format", "json").json
    assert found["instance"]["status"] == "failed"
    assert {step["key"]: step["attempt"] for step in found["steps"] if step["key"] != "behind"}["broken"] == 1
    assert [event["kind"] for event in found["events"]][-2:] == ["retry_refused", "cancel"]


def test_whoever_has_no_right_to_df_is_told_which_grant_to_ask_for(
    on: Run, pgdurable: Pgdurable, database: Database
) -> None:
    role = database.server.create_role()
    dsn = database.dsn_as(role)
    for command in ("workflows", "status", "start good", "retry abcd", "logs abcd", "pause good", "explain abcd"):
        said = pgdurable(*command.split(), "--dsn", dsn)
        assert said.status == 3, said.err
        assert "permission denied for schema df" in said.err
        assert f"select df.grant_usage('{role}')" in said.err


def test_start_says_when_nobody_is_there_to_run_it(on: Run) -> None:
    assert "no worker is alive" in on("start", "good").err


def test_a_worker_until_idle_runs_what_is_due_and_ends(on: Run, database: Database) -> None:
    instance_id = started(on, "good", "--param", "x=7")
    assert on("worker", "--until-idle", "--sql", "1", "--python", "0").status == 0
    assert database.execute("select x from results") == [(7,)]
    said = on("explain", instance_id[:6])
    assert said.status == 0
    assert "completed" in said.out.splitlines()[0]
    assert [line.split()[:2] for line in said.out.splitlines() if line.startswith("  ok")] == [
        ["ok", "one"],
        ["ok", "two"],
        ["ok", "three"],
    ]


def test_explain_of_a_failure_shows_error_source_and_what_to_do(on: Run) -> None:
    instance_id = started(on, "bad")
    on("worker", "--until-idle")
    said = on("explain", instance_id)
    assert 'error     broken: 42P01 relation "missing" does not exist' in said.out
    assert "dags/bad.py:7" in said.out
    assert f"pgdurable retry {instance_id[:8]}" in said.err
    found = on("explain", instance_id, "--format", "json").json
    assert {step["key"]: step["status"] for step in found["steps"] if step["kind"] != "end"} == {
        "one": "completed",
        "broken": "failed",
        "behind": "upstream_failed",
    }


def test_status_ends_with_1_while_something_failed_and_names_it(on: Run) -> None:
    assert on("status").status == 0
    instance_id = started(on, "bad")
    unattended = on("status")
    assert (unattended.status, "UNATTENDED" in unattended.out) == (1, True)
    on("worker", "--until-idle")
    said = on("status")
    assert said.status == 1
    assert "FAILED 1 in 24 h" in said.out
    assert f"pgdurable explain {instance_id[:8]}" in said.out
    assert "dags/bad.py:7" in said.out
    assert [one["instance"]["workflow"] for one in on("status", "--format", "json").json["failed"]] == ["bad"]


def test_status_names_steps_that_nobody_takes_and_what_to_start(
    on: Run, pgdurable: Pgdurable, database: Database
) -> None:
    good, chatty = started(on, "good", "--date", "2026-11-21"), started(on, "chatty")
    assert on("status", "--format", "json").json["late"] == []
    assert ", queue 3, oldest " in on("status").out
    database.execute("update df._steps set ready_at = ready_at - interval '20 minutes' where state = 'ready'")
    said = on("status")
    assert said.status == 1
    lines = said.out.splitlines()
    late = lines[lines.index("LATE 3") + 1 :][:3]
    assert [line.split()[0] for line in late] == ["good", "chatty", "chatty"]
    assert all(line.endswith("no worker is alive: pgdurable worker --dsn …") for line in late)
    assert f"ds 21 Nov  {good[:8]}   one" in late[0]
    assert re.search(r"ready for 20:0\d", late[0])
    worker = pgdurable.start("worker", "--dsn", database.dsn, "--python", "0")
    try:
        _until(lambda: database.execute("select 1 from df.instances where status = 'completed'") != [])
        said = on("status")
        assert said.status == 1
        assert "UNATTENDED" not in said.out
        lines = said.out.splitlines()
        (line,) = lines[lines.index("LATE 1") + 1 :][:1]
        assert f"{chatty[:8]}   shell" in line
        assert "no worker takes Python and shell steps: pgdurable worker --dsn … --python 2" in line
        assert [(row["key"], row["count"]) for row in on("status", "--format", "json").json["late"]] == [("shell", 1)]
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    assert on("worker", "--until-idle").status == 0
    assert (on("status").status, "LATE 0" in on("status").out) == (0, True)


def test_retry_runs_on_from_the_failed_step(on: Run, database: Database) -> None:
    instance_id = started(on, "bad")
    on("worker", "--until-idle")
    database.execute("create table missing (x int)")
    assert on("retry", instance_id[:8], "--reason", "made the table").status == 0
    on("worker", "--until-idle")
    found = on("explain", instance_id, "--format", "json").json
    assert found["instance"]["status"] == "completed"
    assert "made the table" in {event["reason"] for event in found["events"]}
    assert on("status").status == 0


def test_cancel_stops_a_running_statement(on: Run, pgdurable: Pgdurable, database: Database) -> None:
    instance_id = started(on, "slow")
    worker = pgdurable.start("worker", "--until-idle", "--dsn", database.dsn)
    try:
        sees = f"select 1 from df.steps where instance_id = '{instance_id}' and status = 'running'"
        _until(lambda: database.execute(sees) != [])
        began = time.monotonic()
        assert on("cancel", instance_id[:8]).status == 0
        ended = f"select 1 from df.instances where instance_id = '{instance_id}' and status = 'cancelled'"
        _until(lambda: database.execute(ended) != [])
        assert time.monotonic() - began < 10
    finally:
        worker.terminate()
        worker.communicate(timeout=30)


def test_wait_follows_an_instance_to_its_end(on: Run, pgdurable: Pgdurable, database: Database) -> None:
    worker = pgdurable.start("worker", "--dsn", database.dsn)
    try:
        good = on("start", "good", "--wait")
        assert good.status == 0
        assert good.out.splitlines()[-1].startswith("Success")
        assert "true, true" in good.out
        bad = on("start", "bad", "--wait")
        assert bad.status == 1
        assert 'broken: 42P01 relation "missing" does not exist' in bad.out
        assert on("start", "bad", "--wait", "--format", "json").json["status"] == "failed"
    finally:
        worker.terminate()
        assert worker.wait(timeout=30) == 0
        worker.communicate()


def test_logs_show_what_steps_printed(on: Run) -> None:
    instance_id = started(on, "chatty")
    on("worker", "--until-idle")
    lines = [line.split("  ", 1)[1] for line in on("logs", instance_id, "shell").out.splitlines()]
    assert sorted(lines) == ["from shell", "to stderr"]
    everything = on("logs", instance_id[:5])
    assert "from shell" in everything.out
    assert "nothing" not in everything.err.lower()
    quiet = started(on, "good")
    assert on("logs", quiet).err == f"Note      good {quiet[:8]} has not printed anything\n"
    array = on("logs", instance_id, "shell", "--format", "json").json
    assert sorted((line["stream"], line["line"]) for line in array) == [
        ("stderr", "to stderr"),
        ("stdout", "from shell"),
    ]
    assert on("logs", quiet, "--format", "json").out == "[]\n"
    stream = on("logs", instance_id, "-f", "--format", "json").out.splitlines()
    assert sorted(json.loads(line)["line"] for line in stream)[-1] == "to stderr"
    missing = on("logs", instance_id, "shel")
    assert missing.status == 1
    assert "has no step shel" in missing.err
    assert "shell" in missing.err


def test_an_unknown_instance_or_workflow_is_the_answer_no(on: Run) -> None:
    assert on("explain", "ffffffffffff").status == 1
    missing = on("start", "missing")
    assert (missing.status, "PD404" in missing.err) == (1, True)


def test_a_beginning_of_several_ids_is_refused_with_the_ids(on: Run, database: Database) -> None:
    ids = [str(one) for (one,) in database.execute("select df.start_workflow('good') from generate_series(1, 17)")]
    first = [one[0] for one in ids]
    twice = next(digit for digit in first if first.count(digit) > 1)
    said = on("explain", twice)
    assert (said.status, "several instance ids" in said.err) == (2, True)


def test_pause_and_resume_switch_a_workflow(on: Run) -> None:
    def paused() -> dict[str, bool]:
        return {row["name"]: row["is_paused"] for row in on("workflows", "--format", "json").json}

    assert (paused()["good"], paused()["slow"]) == (True, False)
    assert on("pause", "slow", "--reason", "too slow").status == 0
    assert paused()["slow"] is True
    assert on("resume", "slow").status == 0
    assert paused()["slow"] is False
    assert on("pause", "missing").status == 1


def test_resuming_a_schedule_says_that_this_version_runs_none(on: Run) -> None:
    said = on("resume", "good")
    assert (said.status, "PD501" in said.err, "start_workflow" in said.err) == (1, True, True)


def test_a_workflow_is_found_in_whatever_namespace_it_is_alone(on: Run, database: Database) -> None:
    steps = "steps => array[df.step('a', run => 'select 1')]"
    database.execute(f"select df.create_workflow('solo', namespace => 'mart', {steps})")
    database.execute(f"select df.create_workflow('twin', namespace => 'x', {steps})")
    database.execute(f"select df.create_workflow('twin', namespace => 'y', {steps})")
    started(on, "solo")
    several = on("start", "twin")
    assert (several.status, "x/twin or y/twin" in several.err) == (2, True)
    started(on, "y/twin")
    found = database.execute("select namespace, workflow from df.instances order by 1")
    assert found == [("mart", "solo"), ("y", "twin")]


def test_a_parameter_that_is_no_assignment_is_a_usage_error(on: Run) -> None:
    assert on("start", "good", "--param", "x").status == 2
    assert on("start", "good", "--date", "tomorrow").status == 2


def _until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
