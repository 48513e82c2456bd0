-- _own_session: this session's registration, checked. Raises PD403 when it is another's.
create or replace function df._own_session(p_session bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from df._sessions s where s.session_id = p_session and s.pid = pg_backend_pid() and s.login = session_user) then
        raise exception 'session % is not registered for this backend', p_session using errcode = 'PD403';
    end if;
    return p_session;
end
$$;
