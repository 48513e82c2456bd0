-- _recover: find sessions that ended without saying so, and give their work back.
--
-- A step caught running when a backend died becomes a suspect: it runs again, one suspect at a time.
-- Only a death as the single suspect, with nothing else caught, is charged; three charges, or ten
-- times caught, quarantine it (PD410). After a restart of the whole server nobody is suspected.
-- Everything queued before now is claimed with a commit first (crash horizon), and a new epoch makes
-- every session offer the whole queue once more, since claims that were rolled back lie behind them.
--
-- What had a stop row is cancelled or has failed in time, as if it had stopped when it was told to.
--
-- Locks   the recovery row (skip locked); _step_lanes; the step rows caught and what follows from them; the engine row.
create or replace function df._recover() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_dead bigint[];
    v_restarted boolean;
    v_caught integer;
    v_solo bigint;
    r record;
begin
    select array_agg(s.session_id), bool_and(s.postmaster_started is distinct from pg_postmaster_start_time())
    into v_dead, v_restarted
    from df._sessions s
    where not exists (
        select from pg_stat_activity a
        where a.pid = s.pid and (a.backend_start is null or a.backend_start = s.backend_start)
          and (a.state is null or a.state not in ('idle', 'idle in transaction', 'idle in transaction (aborted)'))
          and a.pid <> pg_backend_pid())
       or s.postmaster_started is distinct from pg_postmaster_start_time();
    if v_dead is null then
        return 0;
    end if;
    perform from df._recovery r for no key update skip locked;
    if not found then
        return 0;       -- somebody else recovers
    end if;
    -- again, now that nobody else recovers
    select array_agg(s.session_id) into v_dead from df._sessions s where s.session_id = any(v_dead);
    if v_dead is null then
        return 0;
    end if;
    select count(*) into v_caught from df._steps s where s.state = 'running' and s.holder = any(v_dead);
    select e.solo_token into v_solo from df._engine e;
    if not v_restarted then
        delete from df._step_lanes;
    end if;
    for r in
        select s.instance_id, s.scope_id, s.step, s.seq, s.attempt, s.generation, s.started_at, s.holder, s.caught, p.lane, sc.map_index,
            df._stop_reason(s.instance_id, s.seq) as stop, s.charged + (s.is_suspect and s.seq is not distinct from v_solo and v_caught = 1 and not v_restarted)::integer as charged
        from df._steps s
        join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
        left join df._scopes sc on sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
        where s.state = 'running' and s.holder = any(v_dead)
        order by s.instance_id, s.scope_id, s.step
        for no key update of s
    loop
        if r.stop is null then
            insert into df._attempts (instance_id, scope_id, step, generation, attempt, map_index, seq, outcome, error, started_at, holder)
            values (r.instance_id, r.scope_id, r.step, r.generation, r.attempt + 1, r.map_index, r.seq, 'lost',
                '{"sqlstate": "PD410", "message": "the attempt vanished with its session"}', r.started_at, r.holder)
            on conflict do nothing;
        end if;
        if r.stop = 'cancel' then
            perform df._cancel_step(r.instance_id, r.scope_id, r.step, r.seq, r.started_at);
        elsif r.stop = 'timeout' then
            -- it would not stop, so its session was ended; the step is known and nobody is suspected
            perform df._fail_attempt(r.instance_id, r.scope_id, r.step, r.seq,
                '{"sqlstate": "PD408", "message": "the attempt ran longer than its timeout, and its session was ended"}', true, r.started_at);
        elsif r.charged >= 3 or r.caught + 1 >= 10 then
            update df._steps s set charged = r.charged, caught = r.caught + 1
            where s.instance_id = r.instance_id and s.scope_id = r.scope_id and s.step = r.step;
            perform df._finish_step(r.instance_id, r.scope_id, r.step, r.seq, 'failed', null, null,
                jsonb_build_object('sqlstate', 'PD410', 'message', format('quarantined: it took its session or the server down %s times', r.charged),
                    'hint', 'Read the server log, mend the step, then retry the instance.'), 'quarantined', r.started_at);
            insert into df._events (instance_id, scope_id, step, kind, actor, detail)
            values (r.instance_id, r.scope_id, r.step, 'step_quarantined', 'engine', jsonb_build_object('charged', r.charged, 'caught', r.caught + 1));
        else
            update df._steps s
            set state = 'ready', holder = null, worker_id = null, deadline_at = null, charged = r.charged, caught = r.caught + 1,
                is_suspect = not v_restarted, lane = case when v_restarted then r.lane else 2 end,
                enq = pg_current_xact_id(), seq = nextval('df._queue_seq'), ready_at = clock_timestamp()
            where s.instance_id = r.instance_id and s.scope_id = r.scope_id and s.step = r.step;
        end if;
    end loop;
    -- last, as whoever ends a suspect's run has it: after joins and instances
    update df._engine e
    set epoch = e.epoch + 1, crash_horizon = pg_snapshot_xmax(pg_current_snapshot()),
        solo_token = case when e.solo_session = any(v_dead) then null else e.solo_token end,
        solo_session = case when e.solo_session = any(v_dead) then null else e.solo_session end;
    delete from df._stops t where t.session_id = any(v_dead);
    delete from df._sessions s where s.session_id = any(v_dead);
    return cardinality(v_dead);
end
$$;
