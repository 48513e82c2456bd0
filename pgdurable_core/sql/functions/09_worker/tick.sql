-- tick: the engine's housekeeping, each part in a transaction of its own, so that nobody who forgets a
-- transaction can hold it. Idempotent, from any session, as often as one likes.
create or replace procedure df.tick()
language plpgsql
as $$
begin
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
comment on procedure df.tick() is 'promote due timers, recover what dead sessions and workers held, mark what runs too long, purge what df.set_retention says; run it alone, in autocommit';
