"""A login learns nothing about a claim that is not its own: running, ended or never made, the answer is the same."""

from __future__ import annotations

import pytest
from engine_people import People
from engine_room import Engine, refused, step
from engine_worker import Worker

LOST = "Another worker took it over, or it was cancelled; drop the result."
STOP = "insert into df._stops select seq, null, worker_id, instance_id, 'cancel' from df._steps where seq = %s"
PLAIN = """
select s.instance_id, 0, s.step, s.seq from df._steps s
join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step where p.key = 'plain'"""
ERROR = '{"sqlstate": "PY000", "message": "boom"}'
CALLS = {"fail_step": (ERROR,), "complete_step": ("1",), "skip_step": ("why",)}


def answer(engine: Engine, name: str, claim: dict[str, object]) -> tuple[str, str, str | None, str | None]:
    where = [claim["instance_id"], claim["scope_id"], claim["step"], claim["token"], *CALLS[name]]
    statement = f"select df.{name}({', '.join(['%s'] * len(where))})"
    state, message, detail, hint = refused(engine, statement, *where)
    message = message.replace(str(claim["instance_id"]), "I").replace(f"step {claim['step']} ", "step N ")
    return (state, message, detail, hint)


@pytest.mark.parametrize("name", CALLS)
def test_a_foreign_claim_answers_like_one_that_never_was(people: People, name: str) -> None:
    alice, hers = people.user()
    bob, _ = people.user()
    worker = Worker(people.worker(alice)[1])
    _, foreign = people.worker(bob)
    Worker(foreign)
    steps = [step(key, "df.python('m:f')", retries="1") for key in "abcdef"]
    steps += [step("copied", "copy (select 1) to stdout"), step("plain", "select 1")]
    hers.begin(*steps)
    claims = [worker.must_claim("python") for _ in range(6)]
    worker.call("complete_step", claims[1], "1")
    worker.call("fail_step", claims[2], ERROR)
    worker.call("fail_step", claims[3], ERROR, False)
    worker.call("skip_step", claims[4], "why")
    people.owner.rows(STOP, claims[5]["token"])
    claims.append(worker.must_claim("session"))
    people.owner.work()
    plain = people.owner.rows(PLAIN)
    claims.append(dict(zip(("instance_id", "scope_id", "step", "token"), plain[0], strict=True)))
    never = [claims[0] | {"token": 999}, claims[0] | {"step": 99}, claims[0] | {"instance_id": "0" * 12}]
    answers = {answer(foreign, name, claim) for claim in claims + never}
    assert answers == {("PD409", "the claim on step N of instance I is lost", None, LOST)}
    assert worker.call("complete_step", claims[0], "1") == "completed"


def test_a_repeat_is_answered_to_who_works_for_the_role(people: People) -> None:
    alice, hers = people.user()
    worker = Worker(people.worker(alice)[1])
    hers.begin(step("a", "df.python('m:f')"), step("b", "df.python('m:f')"), step("c", "df.python('m:f')", retries="1"))
    first, second, third = (worker.must_claim() for _ in range(3))
    assert [worker.call("complete_step", first, "1") for _ in range(2)] == ["completed"] * 2
    assert [worker.call("fail_step", second, ERROR) for _ in range(2)] == ["failed"] * 2
    assert [worker.call("fail_step", third, ERROR) for _ in range(2)] == ["retrying"] * 2
    assert worker.refused("fail_step", first, ERROR)[0] == "PD409"


def test_the_role_of_a_session_step_completes_it_itself(people: People) -> None:
    alice, hers = people.user()
    worker = Worker(people.worker(alice)[1])
    instance = hers.begin(step("a", "copy (select 1) to stdout"))
    claim = worker.must_claim("session")
    assert [Worker.call(_as(hers), "complete_step", claim, "[]") for _ in range(2)] == ["completed"] * 2
    assert hers.states(instance) == {"a": "completed"}


def test_lines_are_kept_from_the_login_that_holds_the_claim_alone(people: People) -> None:
    alice, hers = people.user()
    worker = Worker(people.worker(alice)[1])
    beside = Worker(people.worker(alice)[1])
    foreign = Worker(people.worker(people.user()[0])[1])
    hers.begin(step("a", "df.python('m:f')"))
    claim = worker.must_claim()
    made_up = claim | {"token": claim["token"] + 1}
    kept = [who.call("log", claim, "stdout", ["x"]) for who in (worker, beside, foreign)]
    kept += [who.call("log", made_up, "stdout", ["x"]) for who in (worker, beside, foreign)]
    assert kept == [1, 0, 0, 0, 0, 0]
    worker.call("complete_step", claim, "1")
    assert [who.call("log", claim, "stdout", ["x"]) for who in (worker, foreign)] == [1, 0]
    assert people.owner.column("select attempt from df.logs") == [1, 1]


def _as(engine: Engine) -> Worker:
    worker = object.__new__(Worker)
    worker.engine = engine
    return worker
