"""The least that a checkpointed chain can cost in PL/pgSQL: what the machine allows, beside what the engine does.

Claim, run, record, make the next ready, commit; one role, no savepoint beyond the error handler, nothing cleaned, no
cancel, no limits, no mapping, no joins. Nobody should run workflows with it.
"""

from __future__ import annotations

from functools import partial

from pgdurable_core.bench.sessions import at_once
from pgdurable_core.engine import Connection

_SCHEMA = """
create schema bare;
create sequence bare.queue;
create table bare.instances (
    instance_id bigint generated always as identity primary key, state text not null default 'running',
    finished_at timestamptz
) with (fillfactor = 70);
create table bare.steps (
    instance_id bigint, step integer, state text not null, seq bigint not null default nextval('bare.queue'),
    started_at timestamptz, finished_at timestamptz, result json, primary key (instance_id, step)
) with (fillfactor = 70);
create index on bare.steps (seq) where state = 'ready';

create procedure bare.work(length integer) language plpgsql as $$
declare
    v_instance bigint;
    v_step integer;
    v_seq bigint := 0;
    v_started timestamptz;
    v_result json;
begin
    loop
        if v_step is not null then
            perform from bare.steps s where s.instance_id = v_instance and s.step = v_step and s.state = 'ready'
            for no key update skip locked;
        else
            select s.instance_id, s.step, s.seq into v_instance, v_step, v_seq from bare.steps s
            where s.state = 'ready' and s.seq > v_seq order by s.seq limit 1 for no key update skip locked;
            exit when not found;
        end if;
        v_started := clock_timestamp();
        begin
            execute 'select json_agg(x) from (select 1) x' into v_result;
        exception when others then
            raise;
        end;
        update bare.steps s
        set state = 'completed', started_at = v_started, finished_at = clock_timestamp(), result = v_result
        where s.instance_id = v_instance and s.step = v_step;
        if v_step < length then
            v_step := v_step + 1;
            insert into bare.steps (instance_id, step, state) values (v_instance, v_step, 'ready');
        else
            update bare.instances i set state = 'completed', finished_at = clock_timestamp()
            where i.instance_id = v_instance;
            v_step := null;
        end if;
        commit;
    end loop;
end
$$;
"""


def prepare_bare(connection: Connection) -> None:
    """Make the tables and the procedure, in a schema of their own."""
    connection.execute(_SCHEMA)


def bare(connections: list[Connection], instances: int, length: int) -> float:
    """Run `instances` chains of `length` steps over all connections; return steps per second."""
    connections[0].execute("truncate bare.instances, bare.steps")
    connections[0].execute(
        "with made as ("
        "insert into bare.instances (state) select 'running' from generate_series(1, %s) returning instance_id) "
        "insert into bare.steps (instance_id, step, state) select instance_id, 1, 'ready' from made",
        [instances],
    )
    work = [partial(each.execute, "call bare.work(%s)", [length]) for each in connections]
    return instances * length / at_once(work)
