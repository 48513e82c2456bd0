create or replace function df.unregister_worker(worker_id bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from df._workers w where w.worker_id = $1 and w.login = session_user) then
        return;
    end if;
    delete from df._sleepers s where s.worker_id = $1;
    update df._workers w set lease_until = '-infinity' where w.worker_id = $1 and w.login = session_user;
    perform df._recover_workers($1);
    delete from df._workers w where w.worker_id = $1 and w.login = session_user
        and not exists (select from df._steps s where s.state = 'running' and s.worker_id = $1);
end
$$;
comment on function df.unregister_worker(bigint) is 'a worker leaves; what it still holds goes back to the queue';
