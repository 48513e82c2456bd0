-- _doctor_server: what the server does with commits and connections, and what stands in steps' way on it.
create or replace function df._doctor_server() returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_number constant integer := current_setting('server_version_num')::integer;
    v_off constant text[] := array(select s.name from pg_settings s where s.name in ('fsync', 'full_page_writes') and s.setting = 'off' order by 1);
    v_names text[];
    v_used bigint;
    v_most bigint;
    v_whose text;
begin
    return query select 'server', case when v_number < 150000 then 'bad' when v_number >= 190000 then 'warn' else 'ok' end,
        format('PostgreSQL %s%s', current_setting('server_version'), case when v_number not between 150000 and 189999 then '; pgdurable is tested on 15 to 18' else '' end),
        case when v_number < 150000 then 'upgrade PostgreSQL' end;

    return query select 'durability', case when v_off = '{}' then 'ok' else 'bad' end,
        case when v_off = '{}' then 'what was committed survives a crash'
            else format('%s off: a crash of the machine can destroy the database', array_to_string(v_off, ', ')) end,
        (select string_agg(format('alter system set %s = on;', o), ' ') || ' select pg_reload_conf()' from unnest(v_off) o);

    begin
        perform set_config('client_connection_check_interval', '500', true);
        return query select 'clients', 'ok', 'a session whose client is gone ends within half a second', null::text;
    exception when invalid_parameter_value then
        return query select 'clients', 'warn', 'this platform does not notice that a client is gone: a session works on until its call ends',
            'call df.work(max_seconds => 30)';
    end;

    -- the three limits that a new session can meet, the nearest one; of others' sessions backend_type is not to be seen
    select x.used, x.most, x.whose into v_used, v_most, v_whose
    from (
        select (select count(*) from pg_stat_activity a where a.datname is not null) as used,
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                - coalesce(current_setting('reserved_connections', true), '0')::bigint as most, 'this server' as whose
        union all
        select (select count(*) from pg_stat_activity a where a.datname = d.datname), d.datconnlimit, 'this database'
        from pg_database d where d.datname = current_database() and d.datconnlimit >= 0
        union all
        select (select count(*) from pg_stat_activity a where a.usename = r.rolname), r.rolconnlimit, 'role ' || r.rolname
        from pg_roles r where r.rolconnlimit >= 0 and exists (select from df._worker_roles w where w.worker = r.oid)
    ) x
    order by x.used::numeric / greatest(x.most, 1) desc limit 1;
    return query select 'connections', case when v_used >= v_most then 'bad' when v_used * 10 >= v_most * 8 then 'warn' else 'ok' end,
        format('%s of %s connections of %s are taken; a worker needs three and those of its steps', v_used, v_most, v_whose),
        case when v_used * 10 >= v_most * 8 then case
            when v_whose = 'this server' then 'alter system set max_connections = ...; then restart, or run workers with fewer sessions (--sql)'
            when v_whose = 'this database' then format('alter database %I connection limit -1', current_database())
            else format('alter role %I connection limit -1', substr(v_whose, 6)) end end;

    if v_number < 180000 then
        v_names := array(
            select t.tgrelid::regclass || ' ' || t.tgname from pg_trigger t where t.tgdeferrable and not t.tgisinternal
            union all
            select c.conrelid::regclass || ' ' || c.conname from pg_constraint c where c.contype = 'x' and c.condeferrable
            order by 1 limit 6);
    end if;
    return query select 'triggers', case when cardinality(v_names) > 0 then 'bad' else 'ok' end,
        case when cardinality(v_names) > 0 then 'every SQL step that writes is refused (PD403) before PostgreSQL 18 while these could run at commit, as the worker: ' || array_to_string(v_names, ', ')
            else 'none can run at commit as somebody else' end,
        case when cardinality(v_names) > 0 then 'drop them, make them not deferrable, or upgrade to PostgreSQL 18' end;
end
$$;
