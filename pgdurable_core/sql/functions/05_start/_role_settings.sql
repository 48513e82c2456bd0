-- _role_settings: what a role would have after logging in to this database, pinned where output depends on it.
--
-- ALTER ROLE … SET applies only at login and is lost in a definer function, so the engine applies it per step.
-- Only settings an ordinary user may change; timeouts become the step's deadline.
create or replace function df._role_settings(p_role regrole) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select (select e.session_defaults from df._engine e) || coalesce(jsonb_object_agg(x.name, x.value order by x.rank), '{}')
    from (
        select split_part(c, '=', 1) as name, substr(c, strpos(c, '=') + 1) as value,
            (s.setrole <> 0)::integer * 2 + (s.setdatabase <> 0)::integer as rank
        from pg_db_role_setting s, unnest(s.setconfig) c
        where s.setrole in (0, p_role::oid) and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
    ) x
    left join pg_settings g on g.name = x.name
    where (g.context = 'user' or g.name is null)
      and x.name not in ('role', 'session_authorization', 'default_transaction_isolation', 'default_transaction_read_only',
        'default_transaction_deferrable', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout',
        'client_connection_check_interval', 'application_name', 'client_encoding')
$$;
