-- _do_retry: clear what failed and everything after it, and recompute, never repair, the counters.
--
-- Acts only when every open step row of the instance can be locked at once and none runs; else later.
-- A failed mapped step keeps its completed items.
--
-- Locks   (the instance row, by _obey) the open step rows, skip locked.
create or replace function df._do_retry(p_instance text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    i record;
    v_open integer;
    v_had integer;
    v_failed integer[];
    v_cleared integer[];
    v_started integer[];
    r record;
    v_end integer;
    v integer[];
    v_maps integer[];
begin
    select x.state, x.plan_id, x.generation into i from df._instances x where x.instance_id = p_instance;
    if not found then
        return 'the instance is gone';
    elsif i.state not in ('completed', 'failed', 'cancelled') then
        return 'the instance is ' || i.state;
    end if;
    select count(*) into v_open from df._steps s where s.instance_id = p_instance and s.state in ('ready', 'running', 'sleeping', 'retrying');
    select count(*) into v_had from (select 1 from df._steps s where s.instance_id = p_instance and s.state in ('ready', 'sleeping', 'retrying')
        for no key update skip locked) x;
    if v_had < v_open then
        return 'later';
    end if;
    select pl.step_count into v_end from df._plans pl where pl.plan_id = i.plan_id;

    -- what failed, at top level; a failed item stands for its gather
    select array_agg(distinct coalesce(p.gather, s.step)) into v_failed
    from df._steps s join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
    where s.instance_id = p_instance and s.state in ('failed', 'upstream_failed', 'cancelled', 'ready', 'sleeping', 'retrying');
    -- never reached before the cancel, perhaps behind a cascade that was still under way: to be decided anew
    v_failed := v_failed || array(select p.step from df._plan_steps p
        where p.plan_id = i.plan_id and p.parent is null and p.kind not in ('start', 'end')
          and not exists (select from df._steps s where s.instance_id = p_instance and s.scope_id = 0 and s.step = p.step));
    with recursive after(step) as (
        select unnest(v_failed)
        union
        select e.step from after a join df._plan_steps p on p.plan_id = i.plan_id and p.step = a.step, unnest(p.succ) e(step) where e.step <> v_end
    )
    select array_agg(a.step) into v_cleared from after a;
    v_cleared := coalesce(v_cleared, '{}');
    -- a map step above a cleared gather: opened ones stay open unless they themselves are cleared
    v_maps := array(select p.step from df._plan_steps p where p.plan_id = i.plan_id and p.kind = 'map' and p.gather = any(v_cleared)
        and exists (select from df._steps s where s.instance_id = p_instance and s.step = p.step and s.state = 'completed')
        and not p.step = any(v_cleared));
    -- maps that were skipped or failed to open count as cleared themselves
    v_cleared := v_cleared || array(select p.step from df._plan_steps p where p.plan_id = i.plan_id and p.kind = 'map' and p.gather = any(v_cleared)
        and not p.step = any(v_maps) and not p.step = any(v_cleared));

    insert into df._attempts (instance_id, scope_id, step, generation, attempt, map_index, seq, outcome, error, row_count, started_at, finished_at)
    select s.instance_id, s.scope_id, s.step, s.generation, s.attempt, sc.map_index, s.seq,
        case s.state when 'completed' then 'completed' when 'failed' then 'failed' when 'skipped' then 'skipped' when 'cancelled' then 'cancelled' else 'cleared' end,
        s.error, s.row_count, s.started_at, coalesce(s.finished_at, clock_timestamp())
    from df._steps s
    join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
    left join df._scopes sc on sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
    where s.instance_id = p_instance and s.started_at is not null
      and (s.step = any(v_cleared) or (p.parent = any(v_maps) and s.state <> 'completed') or p.parent = any(v_cleared))
    on conflict do nothing;

    -- bodies of maps that open anew go; failed items of maps that stay are made ready again
    delete from df._steps s using df._plan_steps p
    where s.instance_id = p_instance and p.plan_id = s.plan_id and p.step = s.step and p.parent = any(v_cleared);
    delete from df._scopes sc where sc.instance_id = p_instance and sc.step = any(v_cleared);
    update df._steps s
    set state = 'waiting', generation = s.generation + 1, max_attempts = s.attempt + p.retries + 1, result = null, row_count = null, error = null,
        reason = null, started_at = null, finished_at = null, due_at = null, is_settled = true, is_suspect = false, charged = 0, caught = 0
    from df._plan_steps p
    where s.instance_id = p_instance and p.plan_id = s.plan_id and p.step = s.step and s.step = any(v_cleared);
    update df._steps s
    set state = 'ready', generation = s.generation + 1, max_attempts = s.attempt + p.retries + 1, result = null, row_count = null, error = null,
        reason = null, started_at = null, finished_at = null, due_at = null, is_suspect = false, charged = 0, caught = 0, lane = p.lane,
        enq = pg_current_xact_id(), seq = nextval('df._queue_seq'), ready_at = clock_timestamp()
    from df._plan_steps p
    where s.instance_id = p_instance and p.plan_id = s.plan_id and p.step = s.step and p.parent = any(v_maps) and s.state <> 'completed';

    delete from df._commands c where c.instance_id = p_instance and c.kind = 'propagate';
    delete from df._stops t where t.instance_id = p_instance;
    delete from df._joins j where j.instance_id = p_instance and (j.step = any(v_cleared) or j.step = v_end);
    update df._instances x set state = 'running', finished_at = null, error = null, generation = x.generation + 1 where x.instance_id = p_instance;

    -- gathers of maps that stay open: as many arrivals as completed items
    for r in
        select p.gather, count(*)::integer as n, count(*) filter (where s.state = 'completed')::integer as done
        from df._plan_steps p
        join df._steps s on s.instance_id = p_instance and s.step = p.step + 1
        where p.plan_id = i.plan_id and p.step = any(v_maps) group by p.gather
    loop
        insert into df._joins (instance_id, scope_id, step, n, s) values (p_instance, 0, r.gather, r.n, r.done);
    end loop;

    -- every terminal step outside tells the cleared ones and the end once more
    perform df._recount(p_instance, i.plan_id, v_cleared, v_maps, v_end);
    return 'done';
end
$$;
