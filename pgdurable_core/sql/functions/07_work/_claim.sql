-- _claim: claim one ready step: with a commit first, or on the one-commit lane.
--
-- A step takes the one-commit lane when it earned it, was queued after the crash horizon, and no
-- suspect runs. Touches few relations: above sixteen locks a transaction leaves the fast path.
--
-- Locks   the step row (skip locked); the instance row on its first committed claim.
create or replace function df._claim(w text[], p_instance text, p_scope bigint, p_step integer) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    j record;
    v_now constant timestamptz := clock_timestamp();
    v_fast boolean;
    v_name text;
begin
    if w[27] is distinct from '@functions@' then
        return df._hand_back();
    end if;
    w[10] := null;
    select i.state, p.kind, p.timeout, t.plan_id, t.seq, t.enq, t.lane = 2 as is_suspect,
        coalesce(p.run_as::oid::text, i.settings -> 'connections' ->> p.connection, i.submitted_by::oid::text) as role,
        case when p.timeout is not null or i.has_deadlines then i.settings end as settings
    into j
    from df._steps t
    join df._plan_steps p on p.plan_id = t.plan_id and p.step = t.step
    left join df._instances i on i.instance_id = t.instance_id
    where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step and coalesce(t.state = 'ready', false)    -- by key: no partial index fits
      and (t.lane = 1 or t.lane = 2 and t.seq = (select g.solo_token from df._engine g))
      and (p.kind = 'map' or i.state is null or i.state not in ('pending', 'running') or strpos(w[36], ',' || coalesce(p.run_as::oid::text,
        i.settings -> 'connections' ->> p.connection, i.submitted_by::oid::text) || ',') > 0)
    for no key update of t skip locked;
    if not found then       -- another session has taken it, or may run it and we may not
        w[1] := 'again';
        return w;
    end if;

    if j.state is null or j.state not in ('pending', 'running') then
        update df._steps t set state = 'cancelled', finished_at = clock_timestamp(), reason = 'the instance is ' || coalesce(j.state, 'gone')
        where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step;
        perform df._end_solo(j.seq);
        w[1] := 'again';
        return w;
    end if;

    -- what a timeout must end has to be seen with its beginning, which the one-commit lane need not show
    v_fast := j.kind = 'map' and not j.is_suspect and w[38] is null and j.enq >= w[37]::xid8;
    if j.kind <> 'map' and j.settings is null and not j.is_suspect and w[38] is null and j.enq >= w[37]::xid8 then
        v_name := j.plan_id || ':' || p_step || ',';
        v_fast := strpos(w[39], ',' || v_name) > 0;
        if not v_fast and exists (select from df._step_lanes l where l.plan_id = j.plan_id and l.step = p_step and l.fast_streak >= 20) then
            v_fast := true;
            w[39] := right(w[39], 2000) || v_name;
        end if;
    end if;
    if not v_fast then
        update df._steps t
        set state = 'running', holder = df._own_session(w[2]::bigint), started_at = v_now,
            deadline_at = v_now + least(j.timeout, df._timeout(j.settings -> j.role -> 'more' ->> 'statement_timeout'))
        where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step;
        if j.state = 'pending' then
            perform df._mark_running(p_instance, v_now);
        end if;
    end if;
    w[1] := case when v_fast then 'fast' else 'claimed' end;
    w[15] := p_instance;
    w[16] := p_scope::text;
    w[17] := p_step::text;
    w[18] := j.seq::text;
    w[19] := j.kind;
    w[20] := j.role;
    w[29] := j.plan_id::text;
    w[30] := case when v_fast then 'fast' else 'committed' end;
    w[31] := j.state;
    w[32] := j.is_suspect::text;
    return w;
end
$$;
