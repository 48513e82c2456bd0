create or replace function df.wake_worker(worker_id bigint) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ delete from df._sleepers s where s.worker_id = $1
    and exists (select from df._workers w where w.worker_id = $1 and w.login = session_user) $$;
comment on function df.wake_worker(bigint) is 'no more notifications for this worker';
