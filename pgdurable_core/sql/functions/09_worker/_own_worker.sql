-- _own_worker: refuse a worker id that another login registered. Raises PD403, PD404.
create or replace function df._own_worker(p_worker bigint) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_login text;
begin
    select w.login into v_login from df._workers w where w.worker_id = p_worker;
    if v_login is null then
        raise exception 'worker % is not registered', p_worker using errcode = 'PD404';
    elsif v_login <> session_user then
        raise exception 'worker % belongs to another login', p_worker using errcode = 'PD403';
    end if;
end
$$;
