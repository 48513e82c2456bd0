-- _advance: carry the outcome of terminal steps to their successors, as far as it goes.
--
-- p_steps are terminal steps of one scope with their arrival vectors (five integers each: s f k u r).
-- Works without recursion: steps with one arrival are decided in waves, joins one at a time in
-- ascending step number (the lock order), the end last. What exceeds the budget of one transaction
-- continues in the next, as a `propagate` command.
-- p_forced: successors of the first step that a branch skips whatever their rule says.
-- p_unsettled: the first step became terminal before all of its own upstreams did.
--
-- Returns a plain step of this scope that became ready, for the session to follow, or null.
-- Locks   joins by ascending step, leaves before the root; the instance row at its end.
create or replace function df._advance(
    p_instance text, p_plan bigint, p_scope bigint, p_steps integer[], p_vectors integer[],
    p_forced integer[] default null, p_unsettled boolean default false
) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = 0
as $$
declare
    c_budget constant integer := 2000;
    q_step integer[] := p_steps;
    q_vec integer[] := p_vectors;
    h integer := 1;
    d_step integer[] := '{}';       -- decided steps waiting to be written
    d_what text[] := '{}';
    d_settled boolean[] := '{}';
    d_vec integer[] := '{}';
    a_step integer[] := '{}';       -- joins with arrivals, ascending
    a_vec integer[] := '{}';
    a_forced boolean[] := '{}';
    l_step integer[] := '{}';       -- arrivals at spread joins, with their ordinals
    l_ord integer[] := '{}';
    l_ok boolean[] := '{}';
    v integer[];
    v_at integer;
    i integer;
    x record;
    j record;
    v_what text;
    v_total integer;
    v_forced boolean;
    v_end_more integer := 0;
    v_end_vec integer[] := '{0,0,0,0,0}';
    v_follow integer;
    v_written integer := 0;
    v_lanes smallint[];
    v_inserted integer[];
    v_add integer[];
    v_index integer;
    v_spread integer;
begin
    -- a body: its outcome arrives at the gather in the parent scope
    if p_scope <> 0 then
        select ps.parent, ps.gather into x from df._plan_steps ps where ps.plan_id = p_plan and ps.step = p_steps[1];
        if x.parent is not null then
            select sc.parent_scope_id, sc.map_index into p_scope, v_index from df._scopes sc
            where sc.instance_id = p_instance and sc.scope_id = p_scope;
            a_step := array[x.gather];
            a_vec := p_vectors;
            a_forced := '{f}';
            l_step := array[x.gather];
            l_ord := array[v_index];
            l_ok := array[p_vectors[1] > 0];
            q_step := '{}';
            q_vec := '{}';
        end if;
    end if;

    loop
        -- successors of what is terminal
        while h <= cardinality(q_step) loop
            v_at := q_step[h];
            v := q_vec[(h - 1) * 5 + 1 : h * 5];
            if v_written > c_budget then
                insert into df._commands (instance_id, kind, args, submitted_by, actor)
                select p_instance, 'propagate', jsonb_build_object('plan', p_plan, 'scope', p_scope,
                    'steps', to_jsonb(q_step[h:]), 'vectors', to_jsonb(q_vec[(h - 1) * 5 + 1 :]), 'generation', i2.generation),
                    i2.submitted_by, 'engine'
                from df._instances i2 where i2.instance_id = p_instance;
                h := cardinality(q_step) + 1;
                exit;
            end if;
            for x in
                select n.step, n.kind, n.rule, n.n, n.is_join, n.shards, e.ord
                from df._plan_steps p, unnest(p.succ, p.succ_ord) e(step, ord), df._plan_steps n
                where p.plan_id = p_plan and p.step = v_at and n.plan_id = p_plan and n.step = e.step
                order by n.step
            loop
                v_forced := p_forced is not null and h = 1 and x.step = any(p_forced);
                if x.kind = 'end' then
                    if x.is_join then
                        v_add := case when v[2] + v[4] > 0 then '{0,1,0,0,0}' else '{1,0,0,0,0}' end;
                        if x.shards > 0 then
                            l_step := l_step || x.step;
                            l_ord := l_ord || x.ord;
                            l_ok := l_ok || (v_add[1] = 1);
                        end if;
                        for g in 1..5 loop v_end_vec[g] := v_end_vec[g] + v_add[g]; end loop;
                    else
                        perform df._finish_instance(p_instance, case when v[2] + v[4] > 0 then 'failed' else 'completed' end);
                        return v_follow;
                    end if;
                elsif x.is_join then
                    if v_at = 0 then           -- the start does not count; it opens what waits for nobody
                        insert into df._joins (instance_id, scope_id, step, n, shards, decided)
                        values (p_instance, p_scope, x.step, x.n, x.shards, 'run');
                        d_step := d_step || x.step;
                        d_what := d_what || 'run'::text;
                        d_settled := d_settled || false;
                        d_vec := d_vec || v;
                        continue;
                    end if;
                    i := array_position(a_step, x.step);
                    if i is null then
                        i := 1;
                        while i <= cardinality(a_step) and a_step[i] < x.step loop i := i + 1; end loop;
                        a_step := a_step[:i - 1] || x.step || a_step[i:];
                        a_vec := a_vec[:(i - 1) * 5] || v || a_vec[(i - 1) * 5 + 1:];
                        a_forced := a_forced[:i - 1] || v_forced || a_forced[i:];
                    else
                        for g in 1..5 loop a_vec[(i - 1) * 5 + g] := a_vec[(i - 1) * 5 + g] + v[g]; end loop;
                        a_forced[i] := a_forced[i] or v_forced;
                    end if;
                    if x.shards > 0 then
                        l_step := l_step || x.step;
                        l_ord := l_ord || x.ord;
                        l_ok := l_ok || (v[1] > 0);
                    end if;
                else
                    v_total := v[1] + v[2] + v[3] + v[4] + v[5];
                    d_step := d_step || x.step;
                    d_what := d_what || case when v_forced then 'skipped' when v_at = 0 then 'run'
                        else df._decide(x.rule, v_total, v[1], v[2], v[3], v[4], v[5]) end;
                    d_settled := d_settled || true;
                    d_vec := d_vec || v;
                end if;
            end loop;
            if h = 1 and p_unsettled then
                v_end_more := v_end_more + 1;   -- a token until the last of its own upstreams arrives
            end if;
            h := h + 1;
        end loop;

        -- write what was decided
        if d_step <> '{}' then
            with decided as (
                select d.step, d.what, d.settled, p.kind, p.lane, p.class, p.retries,
                    d_vec[(d.pos - 1) * 5 + 1] as vs, d_vec[(d.pos - 1) * 5 + 2] as vf, d_vec[(d.pos - 1) * 5 + 3] as vk,
                    d_vec[(d.pos - 1) * 5 + 4] as vu, d_vec[(d.pos - 1) * 5 + 5] as vr
                from unnest(d_step, d_what, d_settled) with ordinality d(step, what, settled, pos)
                join df._plan_steps p on p.plan_id = p_plan and p.step = d.step
            ), stated as (
                select d.*, case when d.what in ('skipped', 'upstream_failed') then d.what
                    when d.kind = 'gather' then case when d.vf > 0 then 'failed' when d.vu > 0 then 'upstream_failed'
                        when d.vs > 0 then 'completed' when d.vr > 0 then 'removed' else 'skipped' end
                    when d.kind = 'empty' then 'completed' else 'ready' end as state
                from decided d
            ), written as (
                insert into df._steps as t (instance_id, scope_id, step, plan_id, state, lane, class, is_settled, started_at, finished_at)
                select p_instance, p_scope, d.step, p_plan, d.state, d.lane, d.class, d.settled,
                    case when d.state = 'completed' and d.kind = 'empty' then clock_timestamp() end,
                    case when d.state <> 'ready' then clock_timestamp() end
                from stated d order by d.step
                on conflict (instance_id, scope_id, step) do update
                set state = excluded.state, lane = excluded.lane, class = excluded.class, enq = excluded.enq, seq = excluded.seq,
                    is_settled = excluded.is_settled, ready_at = excluded.ready_at, started_at = excluded.started_at,
                    finished_at = excluded.finished_at, is_suspect = false
                where t.state = 'waiting'
                returning t.step
            )
            select min(d.step) filter (where d.state = 'ready' and d.lane = 1),
                array_agg(distinct d.lane) filter (where d.state = 'ready'),
                coalesce(array_agg(d.step order by d.step) filter (where d.state <> 'ready'), '{}')
            into i, v_lanes, v_inserted
            from stated d join written w on w.step = d.step;
            v_follow := least(v_follow, i);
            v_written := v_written + cardinality(d_step);
            if v_lanes is not null then
                perform df._wake(v_lanes, cardinality(d_step) > 1);
            end if;
            foreach v_at in array v_inserted loop
                i := array_position(d_step, v_at);
                select p.kind, t.state into x from df._plan_steps p, df._steps t
                where p.plan_id = p_plan and p.step = v_at and t.instance_id = p_instance and t.scope_id = p_scope and t.step = v_at;
                q_step := q_step || v_at;
                if x.kind = 'gather' and x.state <> 'waiting' and d_what[i] = 'run' then
                    q_vec := q_vec || d_vec[(i - 1) * 5 + 1 : i * 5];
                else
                    q_vec := q_vec || df._vector(x.state);
                end if;
                if not d_settled[i] then
                    v_end_more := v_end_more + 1;
                    update df._joins t set is_terminal = true
                    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = v_at and t.shard = 0;
                end if;
            end loop;
            d_step := '{}';
            d_what := '{}';
            d_settled := '{}';
            d_vec := '{}';
            p_forced := null;
            p_unsettled := false;
            continue when h <= cardinality(q_step);
        end if;
        exit when a_step = '{}';

        -- the lowest join
        v_at := a_step[1];
        v := a_vec[1:5];
        v_forced := a_forced[1];
        a_step := a_step[2:];
        a_vec := a_vec[6:];
        a_forced := a_forced[2:];
        select p.step, p.kind, p.rule, p.n, p.shards, p.succ into x from df._plan_steps p where p.plan_id = p_plan and p.step = v_at;
        i := 0;
        if v_at = any(l_step) then
            -- a root row that is there knows best: a map's length is its own, a recount does not spread
            select t.shards into i from df._joins t
            where t.instance_id = p_instance and t.scope_id = p_scope and t.step = v_at and t.shard = 0;
            i := coalesce(i, x.shards);
        end if;
        if i > 0 then
            v := df._arrive_at_leaves(p_instance, p_scope, v_at, x.n, i,
                array(select l_ord[g] from generate_subscripts(l_step, 1) g where l_step[g] = v_at),
                array(select l_ok[g] from generate_subscripts(l_step, 1) g where l_step[g] = v_at), v);
            continue when v = '{0,0,0,0,0}' and not v_forced;
        end if;
        insert into df._joins as t (instance_id, scope_id, step, shard, n, s, f, k, u, r, shards)
        values (p_instance, p_scope, v_at, 0, x.n, v[1], v[2], v[3], v[4], v[5], x.shards)
        on conflict (instance_id, scope_id, step, shard) do update
        set s = t.s + excluded.s, f = t.f + excluded.f, k = t.k + excluded.k, u = t.u + excluded.u, r = t.r + excluded.r
        returning t.n, t.s, t.f, t.k, t.u, t.r, t.decided, t.is_terminal into j;
        v_total := j.s + j.f + j.k + j.u + j.r;
        if j.decided is null then
            v_what := case when v_forced then 'skipped' else df._decide(x.rule, j.n, j.s, j.f, j.k, j.u, j.r) end;
            if v_what <> 'wait' then
                update df._joins t set decided = v_what, is_terminal = v_what <> 'run'
                where t.instance_id = p_instance and t.scope_id = p_scope and t.step = v_at and t.shard = 0;
                d_step := array[v_at];
                d_what := array[v_what];
                d_settled := array[v_total >= j.n];
                d_vec := array[j.s, j.f, j.k, j.u, j.r];
            end if;
        elsif v_total >= j.n and j.is_terminal then
            -- decided early, terminal since, and now settled: the token goes back
            v_end_vec[1] := v_end_vec[1] + 1;
        end if;
    end loop;

    if v_end_more <> 0 or v_end_vec <> '{0,0,0,0,0}' then
        select p.step, p.n, p.shards into x from df._plan_steps p where p.plan_id = p_plan and p.kind = 'end'
            and p.step = (select pl.step_count from df._plans pl where pl.plan_id = p_plan);
        v_spread := 0;
        if x.step = any(l_step) then
            select t.shards into v_spread from df._joins t
            where t.instance_id = p_instance and t.scope_id = p_scope and t.step = x.step and t.shard = 0;
            v_spread := coalesce(v_spread, x.shards);
        end if;
        if v_spread > 0 then
            i := (select count(*) from generate_subscripts(l_step, 1) g where l_step[g] = x.step and l_ok[g]);
            v := df._arrive_at_leaves(p_instance, p_scope, x.step, x.n, v_spread,
                array(select l_ord[g] from generate_subscripts(l_step, 1) g where l_step[g] = x.step),
                array(select l_ok[g] from generate_subscripts(l_step, 1) g where l_step[g] = x.step), array[i, 0, 0, 0, 0]);
            v_end_vec[1] := v_end_vec[1] - i + v[1];
        end if;
        if v_end_more <> 0 or v_end_vec <> '{0,0,0,0,0}' then
            insert into df._joins as t (instance_id, scope_id, step, shard, n, s, f, shards)
            values (p_instance, p_scope, x.step, 0, x.n + v_end_more, v_end_vec[1], v_end_vec[2], x.shards)
            on conflict (instance_id, scope_id, step, shard) do update
            set n = t.n + v_end_more, s = t.s + excluded.s, f = t.f + excluded.f
            returning t.n, t.s, t.f into j;
            if j.s + j.f >= j.n then
                perform df._finish_instance(p_instance, case when j.f > 0 then 'failed' else 'completed' end);
            end if;
        end if;
    end if;
    return v_follow;
end
$$;
