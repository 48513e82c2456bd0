"""df.beat: a worker renews its lease while it has one."""

from __future__ import annotations

from engine_people import People
from engine_room import Engine, refused
from engine_worker import Worker


def test_a_beat_renews_the_lease_and_a_late_one_is_refused(engine: Engine) -> None:
    worker = Worker(engine)
    engine.rows("update df._workers set lease_until = clock_timestamp() + interval '1 s'")
    assert engine.value("select df.beat(%s) > clock_timestamp() + interval '14 s'", worker.number)
    worker.run_out()
    assert refused(engine, "select df.beat(%s)", worker.number) == (
        "PD409",
        f"the lease of worker {worker.number} has run out",
        None,
        "Drop what it holds and register again.",
    )


def test_nobody_beats_or_claims_for_another_login(people: People) -> None:
    role, _ = people.user()
    _, login = people.worker(role)
    worker = Worker(people.owner)
    assert refused(login, "select df.beat(%s)", worker.number)[0] == "PD409"
    assert refused(login, "select df.claim_step(%s)", worker.number)[0] == "PD403"
