create or replace function df.register_worker(name text, host text, pid integer, version text, lease interval default '15 seconds') returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_id bigint;
begin
    perform df._refuse_copy();
    insert into df._workers (name, host, pid, version, login, lease, lease_until)
    values (name, host, pid, version, session_user, lease, clock_timestamp() + lease) returning worker_id into v_id;
    return v_id;
end
$$;
comment on function df.register_worker(text, text, integer, text, interval) is 'a worker process announces itself; everything it claims lives as long as its lease';
