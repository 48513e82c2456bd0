-- _tick_recover: take back what dead sessions and workers held.
--
-- A claim whose session row somebody removed belongs to nobody: it gets the row of a session that is dead, and is
-- taken back like any other. A session is committed before or with its first claim, and its row goes after or with
-- its last, so one statement's snapshot that shows the claim without the session shows a removal, never a race; and the key lets no such row in beside a session that is there.
-- Here and not in df._recover, which runs at the head of every working call: this reads every running row.
create or replace function df._tick_recover() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
    perform pg_stat_clear_snapshot();
    insert into df._sessions (session_id, pid, backend_start, login) overriding system value
    select distinct s.holder, 0, '-infinity'::timestamptz, '' from df._steps s
    where s.state = 'running' and s.holder is not null and not exists (select from df._sessions x where x.session_id = s.holder)
    on conflict do nothing;
    return df._recover() + df._recover_workers();
end
$$;
