# ruff: noqa: E501
"""What must hold whenever nothing runs, whatever happened before.

Each query returns what breaks one rule; all must return nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from pgdurable_core.engine import Connection

# Upstream arrivals of every join of an ended instance, recomputed from step rows alone.
_ARRIVED: Final = """
with ended as (
    select i.instance_id, i.plan_id, i.state from df._instances i where i.state in ('completed', 'failed')
), top as (
    select e.instance_id, e.plan_id, p.step, p.kind, p.rule, p.n, p.upstream, p.is_join, s.state, s.is_settled
    from ended e join df._plan_steps p on p.plan_id = e.plan_id and p.parent is null and p.kind <> 'start'
    left join df._steps s on s.instance_id = e.instance_id and s.scope_id = 0 and s.step = p.step
), items as (
    select t.instance_id, t.step as gather, b.state
    from top t join df._scopes sc on sc.instance_id = t.instance_id and sc.step = t.step - 2
    join df._steps b on b.instance_id = sc.instance_id and b.scope_id = sc.scope_id and b.step = t.step - 1
    where t.kind = 'gather'
), brought as (     -- what a terminal step brings to whatever is behind it
    select t.instance_id, t.step, t.kind, t.state from top t
    where t.state is not null and not exists (select from items m where m.instance_id = t.instance_id and m.gather = t.step)
    union all
    select m.instance_id, m.gather, 'gather', m.state from items m
), expected as (
    select t.instance_id, t.step,
        count(*) filter (where b.state = 'completed') as s, count(*) filter (where b.state = 'failed') as f,
        count(*) filter (where b.state = 'skipped') as k, count(*) filter (where b.state = 'upstream_failed') as u,
        count(*) filter (where b.state = 'removed') as r, count(*) as n
    from top t, unnest(t.upstream) up(step), brought b
    where t.kind <> 'end' and b.instance_id = t.instance_id and b.step = up.step
      and not exists (select from items m where m.instance_id = t.instance_id and m.gather = t.step)
    group by t.instance_id, t.step
    union all
    select m.instance_id, m.gather, count(*) filter (where m.state = 'completed'), count(*) filter (where m.state = 'failed'),
        count(*) filter (where m.state = 'skipped'), count(*) filter (where m.state = 'upstream_failed'),
        count(*) filter (where m.state = 'removed'), count(*)
    from items m group by m.instance_id, m.gather
)
"""

RULES: Final[Mapping[str, str]] = {
    "a step's holder or timer does not fit its state": """
        select s.instance_id, s.scope_id, s.step, s.state, s.holder, s.worker_id, s.due_at from df._steps s
        where (s.state = 'running') <> (s.holder is not null or s.worker_id is not null)
           or (s.state in ('sleeping', 'retrying')) <> (s.due_at is not null)""",
    "an instance is still open": """
        select instance_id, workflow, state from df._instances where state in ('pending', 'running')""",
    "a step row is open though its instance ended": """
        select s.instance_id, s.scope_id, s.step, s.state, s.lane, i.state
        from df._steps s left join df._instances i on i.instance_id = s.instance_id
        where s.state in ('ready', 'running', 'sleeping', 'retrying') and coalesce(i.state, '') not in ('pending', 'running')
           or s.state = 'waiting' and i.state in ('completed', 'failed')""",
    "a step of an ended instance has no row": """
        select i.instance_id, p.key from df._instances i
        join df._plan_steps p on p.plan_id = i.plan_id and p.parent is null and p.kind not in ('start', 'end')
        where i.state in ('completed', 'failed')
          and not exists (select from df._steps s where s.instance_id = i.instance_id and s.scope_id = 0 and s.step = p.step)""",
    "a scope has no step, or a step no scope": """
        select sc.instance_id, sc.scope_id from df._scopes sc
        where not exists (select from df._steps s where s.instance_id = sc.instance_id and s.scope_id = sc.scope_id)
        union all
        select s.instance_id, s.scope_id from df._steps s where s.scope_id <> 0
          and not exists (select from df._scopes sc where sc.instance_id = s.instance_id and sc.scope_id = s.scope_id)""",
    "an opened map has not as many items as it had rows": """
        select s.instance_id, s.step, s.row_count from df._steps s join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
        join df._instances i on i.instance_id = s.instance_id and i.state in ('completed', 'failed')
        where p.kind = 'map' and s.state = 'completed'
          and s.row_count <> (select count(*) from df._scopes sc where sc.instance_id = s.instance_id and sc.step = s.step)""",
    "a join's counters differ from its upstreams": _ARRIVED
    + """
        select j.instance_id, j.step, (j.s, j.f, j.k, j.u, j.r, j.n) as counted, (e.s, e.f, e.k, e.u, e.r, e.n) as really
        from ended d join df._joins j on j.instance_id = d.instance_id and j.shard = 0 and j.scope_id = 0
        join df._plan_steps p on p.plan_id = d.plan_id and p.step = j.step and p.kind <> 'end'
        left join expected e on e.instance_id = j.instance_id and e.step = j.step
        where (j.s, j.f, j.k, j.u, j.r, j.n) is distinct from (e.s, e.f, e.k, e.u, e.r, e.n)""",
    "a join has no row": _ARRIVED
    + """
        select t.instance_id, t.step from top t
        where t.is_join and t.kind not in ('gather', 'end') and cardinality(t.upstream) > 0
          and not exists (select from df._joins j where j.instance_id = t.instance_id and j.step = t.step and j.shard = 0)""",
    "a join of an ended instance is undecided": """
        select j.instance_id, j.step, j.decided from df._joins j
        join df._instances i on i.instance_id = j.instance_id and i.state in ('completed', 'failed')
        join df._plan_steps p on p.plan_id = i.plan_id and p.step = j.step and p.kind <> 'end'
        where j.shard = 0 and j.decided is null""",
    "the end was reached with tokens missing or left over": """
        select j.instance_id, j.n, j.s, j.f, p.n as sinks from df._joins j
        join df._instances i on i.instance_id = j.instance_id and i.state in ('completed', 'failed')
        join df._plan_steps p on p.plan_id = i.plan_id and p.step = j.step and p.kind = 'end'
        where j.shard = 0 and (j.s + j.f <> j.n or j.n < p.n or j.k <> 0 or j.u <> 0 or j.r <> 0)""",
    "an instance's state is not what its last steps say": _ARRIVED
    + """
        select d.instance_id, d.state from ended d
        where (d.state = 'failed') <> (d.instance_id in (
            select t.instance_id from top t join df._plan_steps z on z.plan_id = t.plan_id and z.kind = 'end' and t.step = any(z.upstream)
            where t.state in ('failed', 'upstream_failed')))""",
    "a step ended without or before its start": """
        select instance_id, step, state, started_at, finished_at from df._steps
        where state in ('completed', 'failed', 'skipped', 'upstream_failed', 'removed', 'cancelled') and finished_at is null
           or finished_at < started_at""",
    "a command is left": "select instance_id, kind, attempts from df._commands",
    "a session is registered though its call has ended": """
        select s.session_id, s.pid from df._sessions s
        where not exists (select from pg_stat_activity a where a.pid = s.pid and a.state = 'active')""",
    "a stop row is left for a claim that still stands": """
        select t.token, t.reason, s.state from df._stops t join df._steps s on s.seq = t.token
        where s.state in ('ready', 'running') or t.created_at < clock_timestamp() - interval '2 minutes'""",
    "a suspect still holds the only place": "select solo_token, solo_session from df._engine where solo_token is not null",
    "a transaction or an advisory lock is left open": """
        select a.pid, a.state, a.query, l.objid from pg_stat_activity a
        left join pg_locks l on l.pid = a.pid and l.locktype = 'advisory'
        where a.datname = current_database() and a.pid <> pg_backend_pid()
          and (a.state like 'idle in transaction%' or a.state = 'idle' and l.pid is not null)""",
    "a temporary table is left": """
        select c.oid::regclass from pg_class c join pg_stat_activity a on a.state = 'idle'
        where c.relpersistence = 't' and a.datname = current_database()
          and c.relnamespace <> pg_my_temp_schema() limit 5""",
    "a transaction waits for its second phase": "select gid from pg_prepared_xacts",
    "df.doctor finds a counter wrong": "select detail from df._doctor_counters(2000, 60) where level <> 'ok'",
    "sessions deadlocked": "select deadlocks from pg_stat_database where datname = current_database() and deadlocks > 0",
}


def broken_rules(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Return what breaks which rule; call it when no session works."""
    found: dict[str, list[tuple[object, ...]]] = {}
    # Without figures the joins below are planned for empty tables, and take minutes where they need milliseconds;
    # what they join has none of its own.
    connection.execute("analyze df._steps, df._instances, df._plan_steps, df._joins, df._scopes, df._attempts")
    connection.execute("set enable_nestloop = off")
    for rule, query in RULES.items():
        rows = connection.execute(
            f"{query.rstrip()}\nlimit 5".replace("limit 5\nlimit 5", "limit 5").encode()
        ).fetchall()
        if rows:
            found[rule] = rows
    connection.execute("reset enable_nestloop")
    return found


def assert_consistent(connection: Connection, *, deadlocks: bool = False) -> None:
    """Check every rule, after a last round of housekeeping. `deadlocks`: a test that makes them itself."""
    connection.execute("call df.tick()")
    deadline = time.monotonic() + 5
    while True:
        found = broken_rules(connection)
        if deadlocks:
            found.pop("sessions deadlocked", None)
        # Backends that were told to end need a moment to leave the statistics.
        if not found or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if found:
        raise AssertionError(found)


def assert_once(connection: Connection) -> None:
    """Check that a step left its row in public.effects once for each time that it completed, and nobody else did.

    More than once only when a person asked for it: a retry clears what ran behind the failed step.
    """
    wrong = connection.execute(
        """
        with completed as (
            select s.instance_id, s.plan_id, s.step, sc.map_index
            from df._steps s
            left join df._scopes sc on sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
            where s.state = 'completed'
            union all
            select a.instance_id, i.plan_id, a.step, a.map_index
            from df._attempts a join df._instances i on i.instance_id = a.instance_id
            where a.outcome = 'completed'
        ), expected as (
            select c.instance_id, p.key || '[' || coalesce(c.map_index, -1) || ']' as step, count(*) as n
            from completed c join df._plan_steps p on p.plan_id = c.plan_id and p.step = c.step
            where exists (select from unnest(p.texts) t where t like '%insert into public.effects%')
            group by 1, 2
        ), found as (
            select instance_id, step, count(*) as n from public.effects group by 1, 2
        )
        select instance_id, step, coalesce(e.n, 0) as completed, coalesce(f.n, 0) as effects
        from expected e full join found f using (instance_id, step)
        where e.n is distinct from f.n limit 5"""
    ).fetchall()
    if wrong:
        raise AssertionError(wrong)
