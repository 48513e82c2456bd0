-- _open_map: one scope per row of the step it maps over.
--
-- n of the gather and of the joins behind it is set here, before any child exists. No rows: skipped.
-- Returns the state the map step ends in: completed (opened) or skipped.
--
-- Locks   gather rows, then the joins behind it in ascending order.
-- Raises  PD422 when there is nothing to map over; PD413 above the limit.
create or replace function df._open_map(p_instance text, p_scope bigint, p_step integer, p_plan bigint) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set lock_timeout = 0
as $$
declare
    p record;
    b record;
    v_source json;
    v_state text;
    v_length integer;
    v_shards integer;
    v_limit integer;
    x record;
    v_class smallint;
begin
    select ps.each_step, ps.gather, ps.key into p from df._plan_steps ps where ps.plan_id = p_plan and ps.step = p_step;
    select ps.step, ps.lane, ps.class, ps.kind into b from df._plan_steps ps where ps.plan_id = p_plan and ps.step = p_step + 1;
    select s.result, s.state into v_source, v_state from df._steps s
    where s.instance_id = p_instance and s.scope_id = p_scope and s.step = p.each_step;
    if v_state in ('skipped', 'upstream_failed') then
        return 0;
    end if;
    if exists (select from df._plan_steps g where g.plan_id = p_plan and g.step = p.each_step and g.kind = 'gather') then
        -- rows of SQL item by item; what Python or a shell returned is one item each, as Airflow has it
        select json_agg(e.value order by sc.map_index, e.ordinality) into v_source
        from df._scopes sc
        join df._steps s on s.instance_id = sc.instance_id and s.scope_id = sc.scope_id and s.step = p.each_step - 1
        join df._plan_steps bp on bp.plan_id = p_plan and bp.step = p.each_step - 1
        cross join lateral json_array_elements(case when bp.kind = 'sql' and json_typeof(s.result) = 'array' then s.result
            else json_build_array(s.result) end) with ordinality e
        where sc.instance_id = p_instance and sc.step = p.each_step - 2 and s.state = 'completed';
        v_source := coalesce(v_source, '[]');
    end if;
    if v_source is null or json_typeof(v_source) not in ('array', 'object') then
        raise exception 'step % has nothing to map over: the result of its source is %', p.key, coalesce(json_typeof(v_source), 'empty')
            using errcode = 'PD422', hint = 'The step that each names must return rows, a list or an object.';
    end if;
    if json_typeof(v_source) = 'object' then
        select json_agg(json_build_object('key', o.key, 'value', o.value)) into v_source from json_each(v_source) o;
        v_source := coalesce(v_source, '[]');
    end if;
    v_length := json_array_length(v_source);
    select e.max_map_length into v_limit from df._engine e;
    if v_length > v_limit then
        raise exception 'step % would open % items; the limit is %', p.key, v_length, v_limit using errcode = 'PD413';
    end if;
    if v_length = 0 then
        return 0;
    end if;
    v_shards := case when v_length > 64 then least(256, (v_length + 63) / 64) else 0 end;
    insert into df._joins (instance_id, scope_id, step, shard, n, shards) values (p_instance, p_scope, p.gather, 0, v_length, v_shards);
    if v_shards > 0 then
        insert into df._joins (instance_id, scope_id, step, shard, n)
        select p_instance, p_scope, p.gather, g, (v_length - g + v_shards) / v_shards from generate_series(1, v_shards) g;
    end if;
    if v_length > 1 then
        for x in
            select n.step, n.n, n.shards from df._plan_steps g, unnest(g.succ) e(step), df._plan_steps n
            where g.plan_id = p_plan and g.step = p.gather and n.plan_id = p_plan and n.step = e.step and n.is_join and n.kind <> 'end'
            order by n.step
        loop
            insert into df._joins as t (instance_id, scope_id, step, shard, n, shards)
            values (p_instance, p_scope, x.step, 0, x.n + v_length - 1, x.shards)
            on conflict (instance_id, scope_id, step, shard) do update set n = t.n + v_length - 1;
        end loop;
    end if;
    with items as (
        select nextval('df._scope_ids') as scope_id, e.v, (e.pos - 1)::integer as map_index
        from json_array_elements(v_source) with ordinality e(v, pos)
    ), opened as (
        insert into df._scopes (instance_id, scope_id, parent_scope_id, step, map_index, item)
        select p_instance, i.scope_id, p_scope, p_step, i.map_index, i.v from items i
    )
    insert into df._steps (instance_id, scope_id, step, plan_id, state, lane, class, finished_at)
    select p_instance, i.scope_id, b.step, p_plan, 'ready', b.lane, b.class, null from items i order by i.scope_id;
    perform df._wake(array[b.lane], true);
    return v_length;
end
$$;
