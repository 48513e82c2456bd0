"""df.skip_step: a worker says a step skipped itself."""

from __future__ import annotations

from engine_room import Engine, step
from engine_worker import Worker


def test_a_step_that_skips_itself_skips_what_needs_it(engine: Engine) -> None:
    instance = engine.begin(
        step("a", "df.shell('exit 99')"), step("b", after="{a}"), step("c", "select 1", after="{a}", rule="all_done")
    )
    worker = Worker(engine)
    claim = worker.must_claim()
    assert worker.call("skip_step", claim, "exit code 99") == "skipped"
    engine.work()
    engine.check(instance)
    assert engine.states(instance) == {"a": "skipped", "b": "skipped", "c": "completed"}
    assert engine.value("select reason from df.steps where key = 'a'") == "exit code 99"
    assert worker.refused("skip_step", claim, "again")[0] == "PD409"
