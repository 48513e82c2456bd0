"""df.grant_worker: a login that works for some roles, and can do nothing else."""

from __future__ import annotations

from engine_people import People
from engine_room import refused, step


def test_a_worker_runs_the_steps_of_the_roles_it_serves_and_of_no_other(people: People) -> None:
    alice, hers = people.user()
    _, his = people.user()
    _, worker = people.worker(alice)
    first, second = (engine.begin(step("a", "select current_user::text as who")) for engine in (hers, his))
    assert worker.work() == 1
    assert people.owner.states(first) == {"a": "completed"}
    assert people.owner.states(second) == {"a": "ready"}
    assert people.owner.result(first, "a") == [{"who": alice}]


def test_a_worker_sees_and_starts_nothing(people: People) -> None:
    alice, hers = people.user()
    _, worker = people.worker(alice)
    instance = hers.begin(step("a", "select 1"))
    for view in ("instances", "steps", "workflows", "logs"):
        assert refused(worker, f"select * from df.{view}")[0] == "42501"
    assert refused(worker, f"select df.cancel('{instance}')")[0] in ("42501", "PD403")
    assert refused(worker, "select df.start_workflow('w')")[0] in ("42501", "PD403", "PD404")
    assert refused(worker, "select df.grant_usage('postgres')")[0] == "42501"
    for table in ("_steps", "_engine", "_roles", "_instances"):
        assert refused(worker, f"select * from df.{table}")[0] == "42501"


def test_a_worker_is_told_of_a_role_without_a_runner(people: People) -> None:
    role = people.role()
    assert refused(people.owner, "select df.grant_worker(%s, %s)", role, role) == (
        "PD404",
        f"role {role} has no runner",
        None,
        f"select df.grant_usage('{role}')",
    )
    assert refused(people.owner, "select df.grant_worker('nobody at all')")[:2] == (
        "PD404",
        "there is no role nobody at all",
    )


def test_a_worker_of_one_role_is_not_held_up_by_the_steps_of_another(people: People) -> None:
    alice, hers = people.user()
    _, his = people.user()
    _, worker = people.worker(alice)
    waiting = his.begin(step("a", "df.python('m:f')"))
    mine = hers.begin(step("a", "df.python('m:f')"))
    number = worker.value("select df.register_worker('w', 'h', 1, '0')")
    claim = worker.value("select df.claim_step(%s, '{python}')", number)
    assert (claim["instance_id"], claim["role"]) == (mine, alice)
    assert worker.value("select df.claim_step(%s, '{python}')", number) is None
    assert people.owner.states(waiting) == {"a": "ready"}
