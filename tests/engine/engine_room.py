"""What the engine's tests say about workflows: define, start, work, and look at everything that came out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from pgdurable_core.engine import Connection

_numbers = itertools.count(1)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def step(key: str, run: str | None = None, **options: str) -> str:
    """Write a df.step(…) call; `run` is SQL text, or a builder's call when it begins with `df.`."""
    stated = [quoted(key)]
    if run is not None:
        stated.append(run if run.startswith("df.") else quoted(run))
    for name, value in options.items():
        stated.append(f"{name} => {value if name in ('retries', 'bind') else quoted(value)}")
    return f"df.step({', '.join(stated)})"


class Engine:
    """One connection to a database with the engine."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        cursor = self.connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: object) -> Any:
        """Return the only column of the only row."""
        [(value,)] = self.rows(statement, *values)
        return value

    def column(self, statement: str, *values: object) -> list[Any]:
        return [row[0] for row in self.rows(statement, *values)]

    # Defining and starting.

    def define(self, name: str, *steps: str, options: str = "") -> str:
        return str(self.value(f"select df.create_workflow('{name}', steps => array[{', '.join(steps)}]{options})"))

    def start(self, name: str, options: str = "") -> str:
        return str(self.value(f"select df.start_workflow('{name}'{options})"))

    def begin(self, *steps: str, options: str = "", params: object = None, at: str | None = None) -> str:
        """Define a workflow of these steps under a name of its own and start it; nothing has run yet."""
        name = f"w{next(_numbers)}"
        self.define(name, *steps, options=options)
        stated = "" if params is None else f", params => {quoted(json.dumps(params))}"
        return self.start(name, stated + ("" if at is None else f", logical_date => '{at}'"))

    def work(self, options: str = "") -> int:
        """Work until nothing is left; return how many steps ran."""
        return int(self.rows(f"call df.work({options})")[0][1])

    def run(self, *steps: str, options: str = "", params: object = None, at: str | None = None) -> str:
        """Define, start and work; then what is recorded must agree with itself."""
        instance = self.begin(*steps, options=options, params=params, at=at)
        self.work()
        self.check(instance)
        return instance

    def result_of(self, run: str, params: object = None, at: str | None = None, **options: str) -> Any:
        """Run one SQL step and return its result, or fail with its error."""
        instance = self.run(step("only", run, **options), params=params, at=at)
        assert self.states(instance) == {"only": "completed"}, self.error(instance, "only")
        return self.result(instance, "only")

    def error_of(self, run: str, params: object = None, at: str | None = None, **options: str) -> dict[str, Any]:
        """Run one SQL step that must fail and return its error without the context."""
        instance = self.run(step("only", run, **options), params=params, at=at)
        assert self.states(instance) == {"only": "failed"}
        return self.error(instance, "only")

    def pass_time(self, interval: str) -> None:
        """Move the engine's clock."""
        self.rows("update df._engine set clock_offset = clock_offset + %s::interval", interval)

    # Looking.

    def status(self, instance: str) -> str:
        return str(self.value("select status from df.instances where instance_id = %s", instance))

    def states(self, instance: str) -> dict[str, str]:
        """Every step of an instance and its state; items of a map are `key[index]`."""
        found = self.rows(
            "select key || case when is_item then '[' || map_index || ']' else '' end, status from df.steps"
            " where instance_id = %s order by step, map_index",
            instance,
        )
        assert len(dict(found)) == len(found)
        return dict(found)

    def result(self, instance: str, key: str, map_index: int | None = None) -> Any:
        return self.value(
            "select result from df.steps where instance_id = %s and key = %s and map_index is not distinct from %s",
            instance,
            key,
            map_index,
        )

    def results(self, instance: str, key: str) -> list[Any]:
        """The results of a mapped step's items, in order."""
        return self.column(
            "select result from df.steps where instance_id = %s and key = %s and is_item order by map_index",
            instance,
            key,
        )

    def error(self, instance: str, key: str) -> dict[str, Any]:
        found = self.column(
            "select error from df.steps where instance_id = %s and key = %s and error is not null", instance, key
        )
        assert found, self.states(instance)
        return {name: value for name, value in found[0].items() if name != "context"}

    def check(self, instance: str) -> None:
        """Compare what the engine counted with what the steps say; an ended instance has nothing left over."""
        assert self.rows(MISFITS, instance) == []
        status = self.status(instance)
        if status not in ("completed", "failed"):
            return
        assert self.rows(OPEN, instance) == []
        assert self.rows(WRONG_COUNTS, instance, instance, instance) == []
        assert self.rows("select * from df._commands where instance_id = %s", instance) == []
        assert self.rows("select * from df._stops where instance_id = %s", instance) == []
        assert self.rows("select * from df._sessions") == []
        states = self.states(instance).values()
        assert "waiting" not in states
        assert (status == "failed") == self.value(SINKS_FAILED, instance)


def refused(engine: Engine, statement: str, *values: object) -> tuple[str, str, str | None, str | None]:
    """Run what the engine must refuse: its SQLSTATE, message, detail and hint."""
    with pytest.raises(psycopg.Error) as caught:
        engine.rows(statement, *values)
    diag = caught.value.diag
    return (diag.sqlstate or "", diag.message_primary or "", diag.message_detail, diag.message_hint)


def refused_definition(engine: Engine, *steps: str, options: str = "") -> tuple[str, str, str | None, str | None]:
    """Define what the engine must refuse."""
    return refused(engine, f"select df.create_workflow('w', steps => array[{', '.join(steps)}]{options})")


def labels(key: str, indexes: Sequence[int] | range, state: str = "completed") -> dict[str, str]:
    return {f"{key}[{index}]": state for index in indexes}


MISFITS = """
    select s.step, s.state, s.holder, s.worker_id, s.due_at from df._steps s where s.instance_id = %s and (
        (s.state = 'running') <> (s.holder is not null or s.worker_id is not null)
        or (s.state in ('sleeping', 'retrying')) <> (s.due_at is not null))"""
OPEN = """
select p.key, s.scope_id, s.state from df._steps s join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
where s.instance_id = %s and s.state not in ('completed', 'failed', 'skipped', 'upstream_failed', 'removed')
"""

# Per join: its counters, and the same from the states of its upstreams. A gather brings one arrival per item.
WRONG_COUNTS = """
with arrivals as (
    select p.step, p.key, p.kind, u.up, v.vector
    from df._instances i
    join df._plan_steps p on p.plan_id = i.plan_id and p.is_join
    cross join lateral unnest(p.upstream) u(up)
    join df._plan_steps q on q.plan_id = i.plan_id and q.step = u.up
    cross join lateral (
        select df._vector(s.state) as vector from df._steps s
        where s.instance_id = i.instance_id and s.scope_id = 0 and s.step = u.up
          and (p.kind <> 'gather' or s.state <> 'completed')
          and (p.kind = 'end' or not (q.kind = 'gather' and exists (
                select from df._scopes c where c.instance_id = i.instance_id and c.step = u.up - 2)))
        union all
        select df._vector(s.state) from df._scopes c
        join df._steps s on s.instance_id = c.instance_id and s.scope_id = c.scope_id
        where c.instance_id = i.instance_id and p.kind <> 'end'
          and ((q.kind = 'gather' and c.step = u.up - 2) or (p.kind = 'gather' and c.step = u.up))
    ) v
    where i.instance_id = %s
), expected as (
    select a.step, a.key, a.kind, case when a.kind = 'end' then 0 else count(*) end as n,
        sum(a.vector[1]) s, sum(a.vector[2]) f, sum(a.vector[3]) k, sum(a.vector[4]) u, sum(a.vector[5]) r
    from arrivals a group by 1, 2, 3
)
select e.key, e.kind, array[e.n, e.s, e.f, e.k, e.u, e.r] as expected, array[j.n, j.s, j.f, j.k, j.u, j.r] as counted
from expected e
left join df._joins j on j.instance_id = %s and j.step = e.step and j.scope_id = 0 and j.shard = 0
where case when e.kind = 'end' then j.n is distinct from j.s + j.f
    else array[e.n, e.s, e.f, e.k, e.u, e.r] is distinct from array[j.n, j.s, j.f, j.k, j.u, j.r]::bigint[] end
  and (j.step is not null or exists (select from df._joins x where x.instance_id = %s))
"""

SINKS_FAILED = """
select bool_or(s.state in ('failed', 'upstream_failed'))
from df._instances i
join df._plan_steps e on e.plan_id = i.plan_id and e.kind = 'end'
join df._steps s on s.instance_id = i.instance_id and s.scope_id = 0 and s.step = any(e.upstream)
where i.instance_id = %s
"""
