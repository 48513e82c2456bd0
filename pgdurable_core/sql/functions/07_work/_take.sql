-- _take: find the next thing to do and claim it.
--
-- w is the session's state, see df._turn. The queue position is a pg_snapshot (PgQ's rule): a pass
-- offers rows whose enqueuing transaction was in progress in the last snapshot and is finished now,
-- then everything from its xmax on; when a pass finds nothing, the pass's own snapshot becomes the
-- position. Exact for late commits, and it never walks over a dead prefix.
--
-- Locks   the step row (skip locked); then as _claim.
create or replace function df._take(w text[]) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    e record;
    s df._steps;
    v_late xid8[] := w[6]::xid8[];
    v_now constant numeric := extract(epoch from clock_timestamp());
    v_got boolean := false;
    v_all boolean;
begin
    if w[27] is distinct from '@functions@' then
        return df._hand_back();
    end if;
    select g.crash_horizon, g.draining, g.epoch, g.solo_token into e from df._engine g;
    if e.draining or v_now > w[22]::numeric then
        w[1] := null;
        return w;
    end if;
    if e.solo_token is not null and not exists (select from df._sessions se, df._engine g where se.session_id = g.solo_session) then
        perform df._end_solo(e.solo_token);
        e.solo_token := null;
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
    w[36] := df._served();
    v_all := not exists (select from df._roles r where strpos(w[36], ',' || r.role::oid || ',') = 0);
    w[13] := '0';
    w[14] := v_now::text;
    if v_now > w[25]::numeric + 0.02 then
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
                or exists (select from df._steps t where t.state = 'ready' and t.lane = 2 and t.ready_at < clock_timestamp() - interval '5 seconds')) then
            select t.instance_id, t.scope_id, t.step, t.seq, t.enq into s.instance_id, s.scope_id, s.step, s.seq, s.enq
            from df._steps t where t.state = 'ready' and t.lane = 2 and t.class = 8
              and (v_all or df._serves(t.instance_id, t.plan_id, t.step, w[36])) order by t.enq, t.seq limit 1
            for no key update skip locked;
            v_got := found;
            if v_got then
                update df._engine g set solo_token = s.seq, solo_session = w[2]::bigint where g.solo_token is null;
                v_got := found;
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
              and (v_all or df._serves(t.instance_id, t.plan_id, t.step, w[36]))
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
              and (v_all or df._serves(t.instance_id, t.plan_id, t.step, w[36]))
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

    return df._claim(w, s.instance_id, s.scope_id, s.step);
end
$$;
