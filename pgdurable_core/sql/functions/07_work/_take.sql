-- _take: find the next thing to do and claim it.
--
-- w is the session's state, see df._turn. The queue position is a pg_snapshot (PgQ's rule): a pass
-- offers rows whose enqueuing transaction was in progress in the last snapshot and is finished now,
-- then everything from its xmax on; when a pass finds nothing, the pass's own snapshot becomes the
-- position. Exact for late commits, and it never walks over a dead prefix.
-- A step takes the one-commit lane when it earned it, was queued after the crash horizon, and no
-- suspect runs; all others are claimed with a commit first.
--
-- Locks   the step row (skip locked); the instance row on its first committed claim.
create or replace function df._take(w text[]) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    e record;
    s df._steps;
    j record;
    v_follows integer := 0;
    v_late xid8[] := w[6]::xid8[];
    v_now timestamptz := clock_timestamp();
    v_got boolean := false;
    v_timeout interval;
    v_fast boolean;
    v_name text;
begin
    if w[10] is not null then
        if w[13]::integer < 16 and v_now < w[14]::timestamptz + interval '20 milliseconds' then
            s.instance_id := w[10];
            s.scope_id := w[11];
            s.step := w[12];
            v_got := true;
            v_follows := w[13]::integer + 1;
        end if;
        w[10] := null;
    end if;

    if not v_got then
        select g.crash_horizon, g.draining, g.schema_version, g.epoch, g.solo_token into e from df._engine g;
        if e.draining or e.schema_version::text <> w[27] or v_now > w[22]::timestamptz then
            w[1] := 'end';
            return w;
        end if;
        w[37] := e.crash_horizon::text;
        w[38] := e.solo_token::text;
        if e.epoch::text <> w[3] then
            w[36] := df._served();
            w[39] := ',';
            -- after an unclean end or a new grant: offer everything once more
            w[3] := e.epoch::text;
            w[4] := '1:1:';
            w[5] := null;
        end if;
        w[14] := v_now::text;
        if v_now > w[25]::timestamptz + interval '20 milliseconds' then
            w[25] := v_now::text;
            if df._obey() then
                w[9] := 't';
                w[1] := 'again';
                return w;
            end if;
            if df._promote() > 0 then
                w[9] := 't';
                w[1] := 'again';
                return w;
            end if;
            -- a suspect: alone among suspects, and while no innocent runs that could be taken for it
            if e.solo_token is null and exists (select from df._steps t where t.state = 'ready' and t.lane = 2)
                and (not exists (select from df._steps t where t.state = 'running' and t.holder is not null)
                    or exists (select from df._steps t where t.state = 'ready' and t.lane = 2 and t.ready_at < v_now - interval '5 seconds')) then
                select t.instance_id, t.scope_id, t.step, t.seq, t.enq into s.instance_id, s.scope_id, s.step, s.seq, s.enq
                from df._steps t where t.state = 'ready' and t.lane = 2 and t.class = 8 order by t.enq, t.seq limit 1
                for no key update skip locked;
                v_got := found;
                if v_got then
                    update df._engine g set solo_token = s.seq, solo_session = w[2]::bigint where g.solo_token is null;
                    v_got := found;
                end if;
            end if;
        end if;
    end if;

    while not v_got loop
        if w[5] is null then
            w[5] := pg_current_snapshot()::text;
            select array_agg(x) into v_late from pg_snapshot_xip(w[4]::pg_snapshot) x where pg_visible_in_snapshot(x, w[5]::pg_snapshot);
            w[6] := v_late::text;
            w[7] := pg_snapshot_xmax(w[4]::pg_snapshot)::text;
            w[8] := '-1';
        end if;
        if v_late is not null then
            select t.instance_id, t.scope_id, t.step, t.seq, t.enq into s.instance_id, s.scope_id, s.step, s.seq, s.enq
            from df._steps t where t.state = 'ready' and t.lane = 1 and t.class = 8 and t.enq = any(v_late)
            limit 1 for no key update skip locked;
            v_got := found;
            if not v_got then
                v_late := null;
                w[6] := null;
            end if;
        end if;
        if not v_got then
            select t.instance_id, t.scope_id, t.step, t.seq, t.enq into s.instance_id, s.scope_id, s.step, s.seq, s.enq
            from df._steps t
            where t.state = 'ready' and t.lane = 1 and t.class = 8 and (t.enq, t.seq) > (w[7]::xid8, w[8]::bigint)
            order by t.enq, t.seq limit 1
            for no key update skip locked;
            v_got := found;
            if v_got then
                w[7] := s.enq::text;
                w[8] := s.seq::text;
            else
                -- the pass is over
                w[4] := w[5];
                w[5] := null;
                w[1] := case when w[9] = 't' then 'again' else 'idle' end;
                w[9] := 'f';
                return w;
            end if;
        end if;
        w[9] := 't';
    end loop;

    select i.state, p.kind, p.timeout, t.plan_id, t.seq, t.enq, t.is_suspect, p.next_step, p.next_lane,
        coalesce(p.run_as::oid::text, i.settings -> 'connections' ->> p.connection, i.submitted_by::oid::text) as role,
        case when p.timeout is not null or i.settings @? '$.*.statement_timeout' then i.settings end as settings
    into j
    from df._steps t
    join df._plan_steps p on p.plan_id = t.plan_id and p.step = t.step
    left join df._instances i on i.instance_id = t.instance_id
    where t.instance_id = s.instance_id and t.scope_id = s.scope_id and t.step = s.step and t.state = 'ready' and t.lane in (1, 2)
    for no key update of t skip locked;
    if not found then       -- the followed step was taken by another session
        w[1] := 'again';
        return w;
    end if;

    if j.state is null or j.state not in ('pending', 'running') then
        update df._steps t set state = 'cancelled', finished_at = clock_timestamp(), reason = 'the instance is ' || coalesce(j.state, 'gone')
        where t.instance_id = s.instance_id and t.scope_id = s.scope_id and t.step = s.step;
        perform df._end_solo(j.seq);
        w[1] := 'again';
        return w;
    end if;
    if j.kind <> 'map' and strpos(w[36], ',' || j.role || ',') = 0 then
        perform df._end_solo(j.seq);    -- not ours to run: another login's sessions have positions of their own
        w[1] := 'again';
        return w;
    end if;

    v_fast := j.kind = 'map';
    if not v_fast and not j.is_suspect and w[38] is null and j.enq >= w[37]::xid8 then
        v_name := j.plan_id || ':' || s.step || ',';
        v_fast := strpos(w[39], ',' || v_name) > 0;
        if not v_fast and exists (select from df._step_lanes l where l.plan_id = j.plan_id and l.step = s.step and l.fast_streak >= 20) then
            v_fast := true;
            w[39] := right(w[39], 2000) || v_name;
        end if;
    end if;
    if not v_fast then
        v_timeout := least(j.timeout, df._timeout(j.settings -> j.role ->> 'statement_timeout'));
        update df._steps t
        set state = 'running', holder = w[2]::bigint, started_at = v_now, deadline_at = v_now + v_timeout
        where t.instance_id = s.instance_id and t.scope_id = s.scope_id and t.step = s.step;
        if j.state = 'pending' then
            perform df._mark_running(s.instance_id, v_now);
        end if;
    end if;
    return array[case when v_fast then 'fast' else 'claimed' end] || w[2:9]
        || array[null, null, null, v_follows::text, w[14], s.instance_id, s.scope_id::text, s.step::text, j.seq::text, j.kind,
            'df_runners.run_' || j.role] || w[21:27]
        || array[v_now::text, j.plan_id::text, case when v_fast then 'fast' else 'committed' end, j.state, j.is_suspect::text,
            j.next_step::text, j.next_lane::text] || w[35:40];
end
$$;
