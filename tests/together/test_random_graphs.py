"""Hazards 24, 25, 26: graphs of every shape, sessions that meet everywhere, one end each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
import pytest
from airflow_rules import RULES, Arrival, possible_states
from consistency import assert_consistent, assert_once
from crew import EFFECT, EFFECTS, Crew, pause, value, workflow
from server import Database

from pgdurable_core.engine import Connection

BROKEN = "create table public.broken as select 1 as it_is; grant select on public.broken to public"
FAIL = f"{EFFECT}; select 1 / (select count(*) = 0 from public.broken)::int"


@dataclass
class Step:
    """A step of a random graph; `kind` says how it ends when it runs."""

    key: str
    kind: str
    rule: str
    after: list[str]
    chosen: list[str] = field(default_factory=list)
    each: str | None = None
    fails_at: list[int] = field(default_factory=list)

    def written(self) -> str:
        run = {
            "effect": f"$run${EFFECT}$run$",
            "fail": f"$run${FAIL}$run$",
            "rows": f"$run$select g from generate_series(1, {len(self.fails_at)}) g$run$",
            "branch": "df.branch($run$select unnest('{" + ",".join(self.chosen) + "}'::text[])$run$)",
            "item": f"$run$select 1 / (case when {{map_index}} = any('{{{','.join(map(str, self.fails_at))}}}'::int[]) "
            f"and exists (select from public.broken) then 0 else 1 end); {EFFECT}$run$",
            "empty": "null",
        }[self.kind]
        parts = [f"'{self.key}'", f"run => {run}", f"rule => '{self.rule}'"]
        if self.after:
            parts.append(f"after => '{{{','.join(self.after)}}}'")
        if self.each:
            parts.append(f"each => '{self.each}'")
        return f"df.step({', '.join(parts)})"


def random_graph(generator: random.Random) -> list[Step]:
    """Make 2 to 14 steps: any rule, failures, branches, empty steps, maps over no, one and several rows."""
    steps: list[Step] = []
    for number in range(1, generator.randint(2, 14) + 1):
        rule = generator.choice(["all_success"] * 4 + RULES)
        after = (
            generator.sample([s.key for s in steps], min(len(steps), generator.randint(1, 3)))
            if steps and generator.random() < 0.9
            else []
        )
        kind = generator.choice(["effect"] * 5 + ["fail", "branch", "empty", "rows"])
        step = Step(f"s{number}", kind, rule if after else "all_success", after)
        if kind == "rows":
            step.fails_at = [0] * generator.choice([0, 1, 2, 3])
        sources = [s for s in steps if s.kind == "rows" and s.each is None]
        # A map whose source did not run has nothing to map over; under all_success of its source it never is asked to.
        if kind == "effect" and sources and generator.random() < 0.5:
            source = generator.choice(sources)
            step.kind, step.each, step.rule = "item", source.key, "all_success"
            step.fails_at = [i for i in range(len(source.fails_at)) if generator.random() < 0.2]
        steps.append(step)
    for step in steps:
        if step.kind == "branch":
            below = [s.key for s in steps if step.key in s.after]
            step.chosen = [key for key in below if generator.random() < 0.5]
    return steps


def upstream(step: Step) -> list[str]:
    return list(dict.fromkeys([*step.after, *([step.each] if step.each else [])]))


def skipped_by(branch: Step, steps: list[Step]) -> set[str]:
    """Say which direct successors a branch skips: those neither chosen nor below a chosen one."""
    followed = set(branch.chosen)
    for step in steps:
        if followed & set(upstream(step)):
            followed.add(step.key)
    return {s.key for s in steps if branch.key in upstream(s)} - followed


@dataclass
class Seen:
    """What the engine did with one instance: the state of each step, items' states for maps."""

    states: dict[str, str]
    items: dict[str, list[str]]

    def arrival(self, step: Step, forced: bool) -> Arrival:
        items = self.items.get(step.key)
        return Arrival(tuple(items) if items else (self.states[step.key],), forced)


def wrong_steps(steps: list[Step], seen: Seen, mended: bool = False) -> Iterator[str]:
    """Compare every step with what Airflow's rules allow for the states of its upstreams, in any order of arrival."""
    by_key = {s.key: s for s in steps}
    for step in steps:
        arrivals = [
            seen.arrival(
                by_key[key],
                by_key[key].kind == "branch"
                and seen.states[key] == "completed"
                and step.key in skipped_by(by_key[key], steps),
            )
            for key in upstream(step)
        ]
        allowed: set[str] = set()
        decisions = possible_states(step.rule, arrivals)
        if mended and any(arrival.forced for arrival in arrivals):
            decisions.add("skipped")  # the branch chose before this was cleared, so also before `always` looked
        for decision in decisions:
            allowed |= outcome(step, by_key, mended) if decision == "run" else {decision}
        if seen.states[step.key] not in allowed:
            yield f"{step} is {seen.states[step.key]} after {arrivals}; allowed {allowed}"


def outcome(step: Step, by_key: dict[str, Step], mended: bool) -> set[str]:
    if step.kind == "item":
        assert step.each is not None
        count = len(by_key[step.each].fails_at)
        return {"skipped"} if count == 0 else {"failed"} if step.fails_at and not mended else {"completed"}
    return {"failed" if step.kind == "fail" and not mended else "completed"}


def seen_of(connection: Connection, instance_id: str) -> Seen:
    rows = connection.execute(
        "select p.key, p.kind, p.parent, s.state, sc.map_index from df._steps s "
        "join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step "
        "left join df._scopes sc on sc.instance_id = s.instance_id and sc.scope_id = s.scope_id "
        "where s.instance_id = %s and p.kind not in ('map') order by sc.map_index",
        [instance_id],
    ).fetchall()
    states = {key: state for key, _, parent, state, _ in rows if parent is None}
    items: dict[str, list[str]] = {}
    for key, _, parent, state, _ in rows:
        if parent is not None:
            items.setdefault(key, []).append(state)
    return Seen(states, items)


@pytest.mark.parametrize(
    ("seed", "graphs"),
    [(1, 300), pytest.param(2, 1200, marks=pytest.mark.slow), pytest.param(3, 1200, marks=pytest.mark.slow)],
)
def test_every_random_graph_ends_once_in_states_that_airflow_allows(
    database: Database, connection: Connection, seed: int, graphs: int
) -> None:
    made = define(connection, seed, graphs)
    with Crew(database, 8) as crew:
        started = {name: value(connection, "select df.start_workflow(%s)", name) for name in made}
        crew.finish(40)
    assert crew.unexpected == []
    check(connection, made, started)


@pytest.mark.parametrize(("seed", "graphs"), [(4, 150), pytest.param(5, 600, marks=pytest.mark.slow)])
def test_what_failed_or_was_cancelled_ends_as_airflow_allows_when_it_is_mended_and_retried(
    database: Database, connection: Connection, seed: int, graphs: int
) -> None:
    made = define(connection, seed, graphs)
    generator = random.Random(-seed)
    with Crew(database, 8, watchdog=True) as crew:
        started: dict[str, str] = {}
        for name in made:
            started[name] = value(connection, "select df.start_workflow(%s)", name)
            if generator.random() < 0.4:
                pause(generator, 0, 0.05)
                with suppress(psycopg.Error):  # it may have ended
                    connection.execute("select df.cancel(%s)", [started[name]])
        crew.finish(60)
        connection.execute("truncate public.broken")
        again = connection.execute(
            "select instance_id from df._instances where state in ('failed', 'cancelled')"
        ).fetchall()
        for (instance_id,) in again:
            connection.execute("select df.retry_instance(%s)", [instance_id])
        crew.finish(60)
    refused = connection.execute(
        "select instance_id, kind, detail from df._events where kind = 'retry_refused'"
    ).fetchall()
    assert refused == []
    assert value(connection, "select count(*) from df._instances where state = 'cancelled'") == 0
    assert len(again) > graphs / 4
    retried = {row[0] for row in again}
    check(connection, {n: s for n, s in made.items() if started[n] in retried}, started, mended=True)
    check(connection, {n: s for n, s in made.items() if started[n] not in retried}, started)


def define(connection: Connection, seed: int, graphs: int) -> dict[str, list[Step]]:
    connection.execute(EFFECTS.encode())
    connection.execute(BROKEN.encode())
    generator = random.Random(seed)
    made = {f"g{n}": random_graph(generator) for n in range(graphs)}
    for name, steps in made.items():
        connection.execute(workflow(name, *(step.written() for step in steps)).encode())
    return made


def check(
    connection: Connection, made: dict[str, list[Step]], started: dict[str, str], *, mended: bool = False
) -> None:
    wrong = [
        f"{name}: {text}"
        for name, steps in made.items()
        for text in wrong_steps(steps, seen_of(connection, started[name]), mended)
    ]
    assert wrong == []
    assert_once(connection)
    assert_consistent(connection)
