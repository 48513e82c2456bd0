-- _has_work: whether anything waits behind a position. Read-only, assigns no transaction id.
create or replace function df._has_work(p_seen pg_snapshot) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_late xid8[];
begin
    if exists (select from df._commands c where coalesce(c.not_before, '-infinity') <= clock_timestamp()) then
        return true;
    end if;
    if exists (select from df._steps t where t.state in ('sleeping', 'retrying') and t.due_at <= df._now()) then
        return true;
    end if;
    if exists (select from df._steps t where t.state = 'ready' and t.lane = 2) then
        return true;
    end if;
    if exists (select from df._steps t where t.state = 'ready' and t.lane = 1 and t.class = 8 and t.enq >= pg_snapshot_xmax(p_seen)) then
        return true;
    end if;
    select array_agg(x) into v_late from pg_snapshot_xip(p_seen) x where pg_visible_in_snapshot(x, pg_current_snapshot());
    return v_late is not null and exists (select from df._steps t where t.state = 'ready' and t.lane = 1 and t.class = 8 and t.enq = any(v_late))
        -- a session that died: found here too, so that psql alone recovers without a tick
        or exists (select from df._sessions s where s.pid = pg_backend_pid()
            or s.postmaster_started is distinct from pg_postmaster_start_time() or not exists (select from pg_stat_get_activity(s.pid)));
end
$$;
