-- _session: register this df.work call, in a transaction of its own before its first claim, so that
-- a death leaves a trace; and recover what earlier deaths left.
create or replace function df._session(w text[]) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_session bigint;
begin
    perform df._recover();
    insert into df._sessions (pid, backend_start, login, worker_id)
    values (pg_backend_pid(), w[40]::timestamptz, session_user,
        (select k.worker_id from df._workers k where k.worker_id = w[26]::bigint and k.login = session_user))
    returning session_id into v_session;
    w[2] := v_session::text;
    w[1] := 'open';
    return w;
end
$$;
