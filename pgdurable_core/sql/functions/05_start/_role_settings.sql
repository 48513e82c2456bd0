-- _role_settings: what a role would have after logging in to this database, pinned where output depends on it.
--
-- ALTER ROLE … SET applies only at login and is lost in a definer function, so the engine applies it per step.
-- Only settings an ordinary user may change; timeouts become the step's deadline; standard_conforming_strings stays
-- on, since references were found and values are quoted by its rules. Always there: search_path,
-- TimeZone, DateStyle, IntervalStyle; whatever else the role has stands under "more".
create or replace function df._role_settings(p_role regrole) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with found as (
        select distinct on (x.name) x.name, x.value
        from (
            select split_part(c, '=', 1) as name, substr(c, strpos(c, '=') + 1) as value,
                (s.setrole <> 0)::integer * 2 + (s.setdatabase <> 0)::integer as rank
            from pg_db_role_setting s, unnest(s.setconfig) c
            where s.setrole in (0, p_role::oid) and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
        ) x
        where x.name not in ('role', 'session_authorization', 'default_transaction_isolation', 'default_transaction_read_only',
            'default_transaction_deferrable', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout',
            'client_connection_check_interval', 'application_name', 'client_encoding', 'standard_conforming_strings')
        order by x.name, x.rank desc
    ), pinned as (
        select jsonb_object_agg(d.key, coalesce((select f.value from found f where lower(f.name) = lower(d.key)), d.value)) as v
        from jsonb_each_text((select e.session_defaults from df._session_defaults e)) d
    ), more as (
        select jsonb_object_agg(f.name, f.value) as v
        from found f
        where lower(f.name) not in ('search_path', 'timezone', 'datestyle', 'intervalstyle')
          and coalesce((select g.context = 'user' from pg_settings g where g.name = f.name), true)
    )
    select p.v || case when m.v is null then '{}' else jsonb_build_object('more', m.v) end from pinned p, more m
$$;
