create or replace function df.sleep_worker(worker_id bigint, lanes text[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into df._sleepers (worker_id, lanes) select $1, $2 where exists (select from df._workers w where w.worker_id = $1 and w.login = session_user)
    on conflict on constraint _sleepers_pkey do update set lanes = excluded.lanes, since = clock_timestamp()
$$;
comment on function df.sleep_worker(bigint, text[]) is 'ask for a NOTIFY on channel df when something becomes ready in these lanes; look again before trusting it';
