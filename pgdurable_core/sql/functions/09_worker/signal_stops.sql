-- signal_stops: cancel, after five seconds terminate, the backends that have a stop row; 200 ms apart, however many
-- watchdogs there are. SECURITY INVOKER on purpose: the worker's login may signal its own sessions, the owner of df
-- may not.
create or replace function df.signal_stops() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
    v_count integer := 0;
begin
    perform pg_stat_clear_snapshot();
    for r in select d.pid, d.token, d.is_late from df._due_stops() d loop
        -- the advert once more, now that the row is marked: it may have ended meanwhile
        continue when not exists (select from pg_locks l where l.locktype = 'advisory' and l.objsubid = 1 and l.granted and l.pid = r.pid
            and l.classid::bigint = ((57089::bigint << 16) | (r.token >> 32)) and l.objid::bigint = (r.token & 4294967295));
        if r.is_late then
            perform pg_terminate_backend(r.pid);
        else
            perform pg_cancel_backend(r.pid);
        end if;
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function df.signal_stops() is 'signal the backends whose step is to stop; in a transaction after df.tick''s, repeated at least every 200 ms';
