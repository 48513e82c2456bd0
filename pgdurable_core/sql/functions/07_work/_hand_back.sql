-- _hand_back: end this call in good order, since its functions were replaced while it ran.
--
-- Every function of df.work that is handed its state asks first whether that state is of its own making, and comes
-- here when it is not: nothing of it may be read then. What this backend has claimed and not begun goes back to the
-- queue, uncounted; the call ends as if it had been idle, and the next one is of the new functions throughout.
--
-- Locks   the step rows this session holds; the engine row.
create or replace function df._hand_back() returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    w text[] := array_fill(null::text, array[42]);
    -- not what an earlier backend of the same number left: that one died, and df._recover says what follows
    v_own bigint[] := array(select s.session_id from df._sessions s join pg_stat_activity a on a.pid = s.pid
        and (a.backend_start is null or a.backend_start = s.backend_start)
        where s.pid = pg_backend_pid() and s.login = session_user);
begin
    update df._steps t
    set state = 'ready', holder = null, started_at = null, deadline_at = null, enq = pg_current_xact_id(), seq = nextval('df._queue_seq'), ready_at = clock_timestamp()
    where t.state = 'running' and t.holder = any(v_own);
    if found then
        perform df._wake('{1}', true);
    end if;
    update df._engine e set solo_token = null, solo_session = null where e.solo_session = any(v_own);
    delete from df._sessions s where s.session_id = any(v_own);
    w[21] := '0';
    return w;
end
$$;
