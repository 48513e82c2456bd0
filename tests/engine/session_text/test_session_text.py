"""df.session_text: the statements of a claimed session step, for the role that runs it."""

from __future__ import annotations

from engine_people import People
from engine_room import Engine, step
from engine_worker import Worker


def test_names_are_put_in_per_statement(engine: Engine) -> None:
    engine.begin(
        step("src", "select 7 as n"),
        step("a", "select $src.n; copy (select '{day}') to stdout", after="{src}", bind='\'{"day": "ds"}\''),
        at="2024-01-02",
    )
    engine.work()
    worker = Worker(engine)
    claim = worker.must_claim("session")
    assert (claim["has_names"], claim.get("sql")) == (True, None)
    texts = [text.strip() for text in worker.call("session_text", claim)]
    assert texts == ["select 7", "copy (select '2024-01-02') to stdout"]


def test_another_role_is_refused(people: People) -> None:
    role, hers = people.user()
    other, his = people.user()
    _, login = people.worker(role)
    hers.begin(step("a", "copy (select '{run_id}') to stdout"))
    worker = Worker(login)
    claim = worker.must_claim("session")
    worker.engine = his
    refusal = f"step 1 of {claim['instance_id']} is not claimed for {other}"
    assert worker.refused("session_text", claim) == ("PD403", refusal)
