create or replace function df.stopped(worker_id bigint) returns table (token bigint, reason text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select t.token, t.reason from df._stops t join df._workers w on w.worker_id = t.worker_id where t.worker_id = $1 and w.login = session_user $$;
comment on function df.stopped(bigint) is 'which of a worker''s claims are to be stopped, and why';
