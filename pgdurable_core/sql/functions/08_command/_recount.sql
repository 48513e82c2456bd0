-- _recount: rebuild the arrival counters behind terminal steps from their states, for joins that were
-- cleared and for the end, and decide what is decided already.
--
-- Call it under the instance's row lock, while nothing of the instance runs.
create or replace function df._recount(p_instance text, p_plan bigint, p_cleared integer[], p_maps integer[], p_end integer) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    x record;
    v_n integer;
    v integer[];
    v1 integer;
    v2 integer;
    v3 integer;
    v4 integer;
    v5 integer;
    v_what text;
    v_done integer;
    v_state text;
    q_step integer[] := '{}';
    q_vec integer[] := '{}';
    v_forced boolean;
    v_unsettled integer := 0;
begin
    -- the end: sinks that stay as they are have arrived
    select count(*) filter (where s.state not in ('failed', 'upstream_failed', 'cancelled')), count(*) filter (where s.state in ('failed', 'upstream_failed', 'cancelled'))
    into v_done, v_n
    from df._plan_steps e, unnest(e.upstream) u(step)
    join df._steps s on s.instance_id = p_instance and s.scope_id = 0 and s.step = u.step
    where e.plan_id = p_plan and e.step = p_end and not u.step = any(p_cleared)
      and s.state in ('completed', 'failed', 'skipped', 'upstream_failed', 'removed');
    insert into df._joins (instance_id, scope_id, step, n, s, f)
    select p_instance, 0, p_end, e.n, v_done, v_n from df._plan_steps e where e.plan_id = p_plan and e.step = p_end;

    for x in
        select p.step, p.kind, p.rule, p.n, p.is_join, p.upstream from df._plan_steps p
        where p.plan_id = p_plan and p.step = any(p_cleared) and not (p.kind = 'gather' and (p.step - 2) = any(p_maps))
        order by p.step
    loop
        -- arrivals from upstreams that stay: one each, a gather as many as it had items
        select coalesce(sum(a.s), 0), coalesce(sum(a.f), 0), coalesce(sum(a.k), 0), coalesce(sum(a.u), 0), coalesce(sum(a.r), 0),
            x.n + coalesce(sum(greatest(a.s + a.f + a.k + a.u + a.r, a.total, 1) - 1), 0)
        into v1, v2, v3, v4, v5, v_n
        from (
            select case when g.kind = 'gather' and j.s is not null then j.s else (df._vector(s.state))[1] end as s,
                case when g.kind = 'gather' and j.s is not null then j.f else (df._vector(s.state))[2] end as f,
                case when g.kind = 'gather' and j.s is not null then j.k else (df._vector(s.state))[3] end as k,
                case when g.kind = 'gather' and j.s is not null then j.u else (df._vector(s.state))[4] end as u,
                case when g.kind = 'gather' and j.s is not null then j.r else (df._vector(s.state))[5] end as r, 0 as total
            from unnest(x.upstream) u(step)
            join df._plan_steps g on g.plan_id = p_plan and g.step = u.step
            join df._steps s on s.instance_id = p_instance and s.scope_id = 0 and s.step = u.step
            left join df._joins j on j.instance_id = p_instance and j.scope_id = 0 and j.step = u.step and j.shard = 0 and g.kind = 'gather'
            where not u.step = any(p_cleared) and s.state in ('completed', 'failed', 'skipped', 'upstream_failed', 'removed')
            union all
            -- a map that stays open behind a cleared gather: its items are counted already
            select 0, 0, 0, 0, 0, j.n from unnest(x.upstream) u(step)
            join df._joins j on j.instance_id = p_instance and j.scope_id = 0 and j.step = u.step and j.shard = 0
            where (u.step - 2) = any(p_maps)
        ) a;
        v := array[v1, v2, v3, v4, v5];
        -- a branch that stays chose already, and skips again what it did not choose
        select coalesce(bool_or(x.step = any(df._judge('branch', s.result, p_plan, b.step))), false) into v_forced
        from unnest(x.upstream) u(step)
        join df._plan_steps b on b.plan_id = p_plan and b.step = u.step and b.kind = 'branch'
        join df._steps s on s.instance_id = p_instance and s.scope_id = 0 and s.step = u.step and s.state = 'completed'
        where not u.step = any(p_cleared);
        v_what := case when v_forced then 'skipped'
            when x.rule = 'always' or x.n = 0 then 'run'
            when x.is_join and v = '{0,0,0,0,0}' then 'wait'
            when v = '{0,0,0,0,0}' then 'wait'
            else df._decide(x.rule, v_n, v[1], v[2], v[3], v[4], v[5]) end;
        if x.is_join and (v <> '{0,0,0,0,0}' or v_n <> x.n or v_what <> 'wait') then
            insert into df._joins (instance_id, scope_id, step, n, s, f, k, u, r, decided)
            values (p_instance, 0, x.step, v_n, v[1], v[2], v[3], v[4], v[5], case when v_what = 'run' then 'run' end);
        end if;
        if v_what = 'run' and x.kind not in ('empty', 'gather') then
            insert into df._steps as t (instance_id, scope_id, step, plan_id, state, lane, class, is_settled)
            select p_instance, 0, p.step, p_plan, 'ready', p.lane, p.class, v[1] + v[2] + v[3] + v[4] + v[5] >= v_n
            from df._plan_steps p where p.plan_id = p_plan and p.step = x.step
            on conflict (instance_id, scope_id, step) do update
            set state = 'ready', lane = excluded.lane, enq = excluded.enq, seq = excluded.seq, ready_at = excluded.ready_at, is_settled = excluded.is_settled
            where t.state = 'waiting';
        elsif v_what in ('run', 'skipped', 'upstream_failed') then
            -- decided at once: goes on through the ordinary way
            v_state := case when v_what = 'run' then 'completed' else v_what end;
            update df._joins j set decided = v_what, is_terminal = true where j.instance_id = p_instance and j.scope_id = 0 and j.step = x.step and j.shard = 0;
            insert into df._steps as t (instance_id, scope_id, step, plan_id, state, finished_at)
            values (p_instance, 0, x.step, p_plan, v_state, clock_timestamp())
            on conflict (instance_id, scope_id, step) do update set state = excluded.state, finished_at = excluded.finished_at where t.state = 'waiting';
            q_step := q_step || x.step;
            q_vec := q_vec || df._vector(v_state);
            if v[1] + v[2] + v[3] + v[4] + v[5] < v_n then
                v_unsettled := v_unsettled + 1;     -- a token until the last of its own upstreams arrives
            end if;
        end if;
    end loop;
    update df._joins j set n = j.n + v_unsettled where j.instance_id = p_instance and j.scope_id = 0 and j.step = p_end and j.shard = 0;
    if q_step <> '{}' then
        perform df._advance(p_instance, p_plan, 0, q_step, q_vec);
    end if;
    -- everything had ended when it was cancelled: nobody is left to bring the last token
    select j.n, j.s, j.f into x from df._joins j where j.instance_id = p_instance and j.scope_id = 0 and j.step = p_end and j.shard = 0;
    if x.s + x.f >= x.n then
        perform df._finish_instance(p_instance, case when x.f > 0 then 'failed' else 'completed' end);
    end if;
    delete from df._joins j using df._plan_steps e
    where j.instance_id = p_instance and j.scope_id = 0 and j.step = p_end and e.plan_id = p_plan and e.step = p_end and not e.is_join;
    perform df._wake(array(select l.lane from df._lanes l), true);
end
$$;
