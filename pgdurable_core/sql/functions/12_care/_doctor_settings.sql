-- _doctor_settings: what sessions of this database, of the owner of df and of its workers begin with.
--
-- A worker that is `pgdurable worker` sets statement_timeout itself; psql and pg_cron do not.
create or replace function df._doctor_settings() returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_is_in_recovery() then
        return query select 'settings', 'bad', 'this server is a standby; df.work needs the primary',
            'connect with target_session_attrs=read-write';
        return;
    end if;
    return query
    with said (name, value, whose, target) as (
        select s.name, s.reset_val || case when s.reset_val ~ '^[0-9]+$' then coalesce(s.unit, '') else '' end, 'on this server',
            format('alter database %I', current_database())
        from pg_settings s
        where s.source not in ('database', 'user', 'database user', 'client')
        union all
        select split_part(c.setting, '=', 1), substr(c.setting, strpos(c.setting, '=') + 1),
            concat_ws(' ', 'for', case when d.setrole = 0 then 'all roles' else d.setrole::regrole::text end,
                case when d.setdatabase = 0 then 'in all databases' else 'in this database' end),
            case when d.setrole = 0 then format('alter database %I', current_database())
                else format('alter role %s', d.setrole::regrole) || case when d.setdatabase = 0 then '' else format(' in database %I', current_database()) end end
        from pg_db_role_setting d, unnest(d.setconfig) c(setting)
        where (d.setdatabase = 0 or d.setdatabase = (select b.oid from pg_database b where b.datname = current_database()))
          and (d.setrole = 0 or d.setrole = (select n.nspowner from pg_namespace n where n.nspname = 'df')
            or exists (select from df._worker_roles w where w.worker = d.setrole))
    ), timed as (
        -- the pattern first: whatever order the conditions are taken in, only a length of time is cast
        select s.*, case when s.value ~ '^[0-9]+$' then (s.value || 'ms')::interval
            when s.value ~ '^[0-9.]+ *(us|ms|s|min|h|d)$' then s.value::interval end as length
        from said s
    ), found (name, value, whose, target, level, why, wanted) as (
        select t.name, t.value, t.whose, t.target, 'warn', x.why, x.wanted
        from timed t join (values
            ('statement_timeout', interval '0', 'df.work refuses to start; `pgdurable worker` sets 0 itself, psql must', '0'),
            ('transaction_timeout', interval '0', 'it ends the session of a step that runs longer', '0'),
            ('idle_in_transaction_session_timeout', interval '10 s', 'it cuts a session step that waits for its worker', '''1min'''),
            ('idle_session_timeout', interval '0', 'it cuts the connection on which a worker listens', '0')
        ) x(name, enough, why, wanted) using (name)
        where t.length > '0' and (x.enough = '0' or t.length < x.enough)
        union all
        select s.name, s.value, s.whose, s.target, x.level, x.why, x.wanted
        from said s join (values
            ('default_transaction_isolation', '^read committed$', 'warn', 'a start with a run key that exists may fail with 40001', '''read committed'''),
            ('default_transaction_read_only', '^(off|false|no|0)$', 'bad', 'df.work refuses to start', 'off'),
            ('synchronous_commit', '^(on|local|remote_write|remote_apply|true|yes|1)$', 'warn', 'the last commits before a crash may be lost: a step outside the database runs again, and nothing says that it ran', 'on'),
            ('track_activities', '^(on|true|yes|1)$', 'bad', 'a session that ended its call without a word is taken for one that still works', 'on')
        ) x(name, good, level, why, wanted) using (name)
        where s.value !~ x.good
    )
    select 'settings', f.level, format('%s is %s %s: %s', f.name, f.value, f.whose, f.why), format('%s set %s = %s', f.target, f.name, f.wanted)
    from found f order by f.level, f.name, f.whose;
    if not found then
        return query select 'settings', 'ok', 'nothing ends a call early, nothing is read-only', null::text;
    end if;
end
$$;
