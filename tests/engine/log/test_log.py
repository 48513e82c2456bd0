"""df.log: lines of a step's output, kept whatever becomes of the step."""

from __future__ import annotations

from engine_people import People
from engine_room import Engine, step
from engine_worker import Worker


def test_lines_are_kept_in_order_with_attempt_and_stream(engine: Engine) -> None:
    engine.begin(step("a", "df.python('m:f')", retries="1", retry_delay="0 s"))
    worker = Worker(engine)
    first = worker.must_claim()
    assert worker.call("log", first, "stdout", ["one", "two"]) == 2
    worker.call("fail_step", first, '{"message": "x"}')
    engine.rows("call df.tick()")
    second = worker.must_claim()
    assert worker.call("log", second, "stderr", [""]) == 1
    assert engine.rows("select key, attempt, stream, line from df.logs order by log_id") == [
        ("a", 1, "stdout", "one"),
        ("a", 1, "stdout", "two"),
        ("a", 2, "stderr", ""),
    ]


def test_past_the_limit_one_line_says_so(engine: Engine) -> None:
    engine.rows("update df._engine set max_log_lines = 3")
    engine.begin(step("a", "df.python('m:f')"))
    worker = Worker(engine)
    claim = worker.must_claim()
    counts = [worker.call("log", claim, "stdout", [f"{n}a", f"{n}b"]) for n in range(4)]
    assert counts == [2, 1, 0, 0]
    expected = ["0a", "0b", "1a", "the log ends here: more than 3 lines"]
    assert engine.column("select line from df.logs order by log_id") == expected


def test_a_worker_writes_nothing_into_the_logs_of_a_role_it_does_not_serve(people: People) -> None:
    alice, _ = people.user()
    bob, his = people.user()
    _, login = people.worker(alice)
    instance = his.begin(step("a", "df.python('m:f')"))
    claim = Worker(people.worker(bob)[1]).must_claim()
    Worker.call(Worker(login), "log", claim, "stdout", ["forged"])
    assert claim["instance_id"] == instance
    assert people.owner.rows("select line from df.logs") == []
