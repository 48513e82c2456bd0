-- _leave: a clean end: forget the session, remember the position at most once a second.
create or replace function df._leave(w text[]) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY'
set timezone = 'UTC'
as $$
declare
    v_pos text := w[3] || '|' || extract(epoch from pg_postmaster_start_time())::text || '|' || w[4];
begin
    perform df._alone();
    if w[27] is distinct from '@functions@' then
        perform df._hand_back();
        return null;
    end if;
    if w[2] is not null then
        delete from df._sessions s where s.session_id = w[2]::bigint and s.pid = pg_backend_pid() and s.login = session_user;
        insert into df._positions as p (login, seen) values (session_user, v_pos)
        on conflict (login) do update set seen = excluded.seen, at = excluded.at where p.at < clock_timestamp() - interval '1 second';
    end if;
    return v_pos;
end
$$;
