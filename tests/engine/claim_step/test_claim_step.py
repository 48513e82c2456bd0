"""df.claim_step: everything a worker needs to run one step, committed before it runs."""

from __future__ import annotations

from engine_room import Engine, refused, step
from engine_worker import Worker

PYTHON = """df.python('m:f', '{"day": "{ds}", "rows": {"xcom": "src"}, "p": {"param": "x"}, "none": {"param": "y"},
    "empty": "", "list": ["{ds}", {"item": true}, 1.50],
    "two": {"xcom": "src", "other": 1}, "text": "{unknown} {ds}"}')"""


def test_a_python_step_comes_with_every_name_put_in(engine: Engine) -> None:
    instance = engine.begin(
        step("src", "select 1 as b, 'x' as a union all select 2, 'y'"),
        step("a", PYTHON, after="{src}", retries="2", timeout="90 s"),
        params={"x": [1, "{ds}"]},
        at="2024-01-02",
    )
    engine.work()
    claim = Worker(engine).must_claim()
    assert engine.value("select %s::json", claim.pop("args_json")) == {
        "day": "2024-01-02",
        "rows": {"__rows__": [[1, "x"], [2, "y"]]},
        "p": [1, "{ds}"],
        "none": None,
        "empty": "",
        "list": ["2024-01-02", None, 1.50],
        "two": {"xcom": "src", "other": 1},
        "text": "{unknown} 2024-01-02",
    }
    names = (
        "instance_id",
        "scope_id",
        "key",
        "kind",
        "attempt",
        "max_attempts",
        "timeout_s",
        "callable",
        "runtime",
        "role",
    )
    assert {name: claim[name] for name in names} == {
        "instance_id": instance,
        "scope_id": 0,
        "key": "a",
        "kind": "python",
        "attempt": 1,
        "max_attempts": 3,
        "timeout_s": 90,
        "callable": "m:f",
        "runtime": "python",
        "role": "pgdurable",
    }
    assert claim["idempotency_key"] == f"{instance}:a"


def test_a_shell_step_comes_with_command_folder_and_environment(engine: Engine) -> None:
    shell = """df.shell('echo {ds} {x} {}', '{"DAY": "{ds}", "E": ""}', true, '/tmp/{ds_nodash}')"""
    engine.begin(step("a", shell), at="2024-01-02")
    claim = Worker(engine).must_claim("shell")
    assert {name: claim[name] for name in ("command", "env", "append_env", "cwd")} == {
        "command": "echo 2024-01-02 {x} {}",
        "env": {"DAY": "2024-01-02", "E": ""},
        "append_env": True,
        "cwd": "/tmp/20240102",
    }


def test_a_mapped_python_step_has_its_item(engine: Engine) -> None:
    arguments = """df.python('m:f', '{"all": {"item": true}, "n": {"item": "n"}}')"""
    engine.begin(step("src", "select 5 as n, 'x' as t"), step("a", arguments, each="src"))
    engine.work()
    claim = Worker(engine).must_claim()
    assert engine.value("select %s::json", claim["args_json"]) == {"all": {"n": 5, "t": "x"}, "n": 5}
    assert claim["map_index"] == 0


def test_a_step_is_claimed_once_and_only_in_the_lanes_asked_for(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"), step("b", "copy (select 1) to stdout"))
    first, second = Worker(engine), Worker(engine)
    assert first.claim("shell") is None
    assert first.must_claim("python")["key"] == "a"
    assert second.claim("python") is None
    session = second.must_claim("session")
    assert (session["key"], session["class"], session["sql"]) == ("b", "session", ["copy (select 1) to stdout"])
    assert engine.states(instance) == {"a": "running", "b": "running"}


def test_a_cancelled_instance_is_not_handed_out(engine: Engine) -> None:
    instance = engine.begin(step("a", "df.python('m:f')"))
    engine.rows("select df.cancel(%s)", instance)
    engine.work()
    assert Worker(engine).claim() is None


def test_while_draining_nothing_is_claimed(engine: Engine) -> None:
    engine.begin(step("a", "df.python('m:f')"))
    worker = Worker(engine)
    engine.rows("update df._engine set draining = true")
    assert refused(engine, "select df.claim_step(%s)", worker.number)[0] == "PD503"


def test_an_unknown_worker_is_refused(engine: Engine) -> None:
    assert refused(engine, "select df.claim_step(999)")[:2] == ("PD404", "worker 999 is not registered")
