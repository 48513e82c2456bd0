-- tick: the engine's housekeeping, each part in a transaction of its own, so that nobody who forgets a
-- transaction can hold it. Idempotent, from any session, as often as one likes.
create or replace procedure df.tick()
language plpgsql
as $$
declare
    until pg_catalog.timestamptz;
begin
    set transaction isolation level read committed, read write;
    -- before stop rows are written: a cancel that nobody else had time for is followed at once
    until := pg_catalog.clock_timestamp() operator(pg_catalog.+) pg_catalog.make_interval(secs => 0.1);
    while df._tick_obey(until) loop
        commit;
        set transaction isolation level read committed, read write;
    end loop;
    commit;
    set transaction isolation level read committed, read write;
    perform df._tick_stops();
    commit;
    set transaction isolation level read committed, read write;
    perform df._tick_recover();
    commit;
    set transaction isolation level read committed, read write;
    perform df._tick_promote();
    commit;
    set transaction isolation level read committed, read write;
    perform df._tick_purge();
    commit;
end
$$;
comment on procedure df.tick() is 'process commands, promote due timers, recover what dead sessions and workers held, mark what runs too long, purge what df.set_retention says; run it alone, in autocommit';
