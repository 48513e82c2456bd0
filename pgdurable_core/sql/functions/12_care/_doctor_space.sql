-- _doctor_space: dead rows, who keeps them from being removed, and how far the transaction ids are.
--
-- The thresholds are arguments so that tests need not burn millions of transactions.
create or replace function df._doctor_space(p_dead bigint default 10000, p_age interval default '10 minutes', p_xids bigint default 1000000, p_frozen bigint default null)
returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_frozen constant bigint := coalesce(p_frozen, current_setting('autovacuum_freeze_max_age')::bigint * 5 / 4);
    v_any boolean;
    v_members constant bigint := coalesce(p_frozen, current_setting('autovacuum_multixact_freeze_max_age')::bigint * 5 / 4);
begin
    return query
    select 'dead rows', case when s.n_dead_tup > p_dead * 100 and s.n_dead_tup > s.n_live_tup * 4 then 'bad' else 'warn' end,
        format('df.%s has %s dead rows for %s that live, last vacuum %s', s.relname, s.n_dead_tup, s.n_live_tup,
            coalesce(to_char(greatest(s.last_vacuum, s.last_autovacuum), 'YYYY-MM-DD HH24:MI'), 'never')),
        format('vacuum (analyze) df.%I; when that removes nothing, see old snapshots', s.relname)
    from pg_stat_all_tables s where s.schemaname = 'df' and s.n_dead_tup > p_dead and s.n_dead_tup > s.n_live_tup order by s.n_dead_tup desc;
    v_any := found;
    return query
    select 'dead rows', 'warn', format('autovacuum is off for df.%s', c.relname), format('alter table df.%I reset (autovacuum_enabled)', c.relname)
    from pg_class c, pg_options_to_table(c.reloptions) o
    where c.relnamespace = 'df'::regnamespace and c.relkind = 'r' and o.option_name = 'autovacuum_enabled' and not o.option_value::boolean
    union all
    select 'dead rows', 'bad', 'autovacuum is off on this server', 'alter system set autovacuum = on; select pg_reload_conf()'
    where not current_setting('autovacuum')::boolean;
    if not (v_any or found) then
        return query select 'dead rows', 'ok', 'vacuum keeps up', null::text;
    end if;

    return query
    select 'old snapshots', case when x.length > p_age * 10 or x.xids > p_xids * 10 then 'bad' else 'warn' end,
        format('%s keeps dead rows from being removed%s, %s transaction ids', x.who, coalesce(' for ' || to_char(x.length, 'HH24:MI:SS'), ''), x.xids), x.remedy
    from (
        -- a step that runs long is not ended with its session, which would only run it again
        select format('pid %s (%s, %s, %s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no name'),
                coalesce('runs step ' || p.key || ' of ' || s.instance_id, a.state, 'state unknown')) as who,
            clock_timestamp() - a.xact_start as length, age(coalesce(a.backend_xmin, a.backend_xid))::bigint as xids,
            coalesce('pgdurable cancel ' || s.instance_id || ', unless it may go on', format('select pg_terminate_backend(%s)', a.pid)) as remedy
        from pg_stat_activity a
        left join df._adverts() v on v.pid = a.pid
        left join df._steps s on s.state = 'running' and s.seq = v.token
        left join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
        where a.datname = current_database() and a.pid <> pg_backend_pid() and coalesce(a.backend_xmin, a.backend_xid) is not null
        union all
        select format('prepared transaction %L of %s', t.gid, t.owner), clock_timestamp() - t.prepared, age(t.transaction), format('rollback prepared %L', t.gid)
        from pg_prepared_xacts t where t.database = current_database()
        union all
        select format('replication slot %s', r.slot_name), null, age(r.xmin), format('select pg_drop_replication_slot(%L)', r.slot_name)
        from pg_replication_slots r where r.xmin is not null
        union all
        select format('the standby %s (hot_standby_feedback)', r.application_name), null, age(r.backend_xmin), 'end the long query on the standby'
        from pg_stat_replication r where r.backend_xmin is not null
    ) x
    where x.length > p_age or x.xids > p_xids
    order by x.xids desc limit 10;
    if not found then
        return query select 'old snapshots', 'ok', format('no transaction is older than %s or %s transaction ids', p_age, p_xids), null::text;
    end if;

    return query
    select 'transaction ids', case when x.age > 1500000000 then 'bad' when x.age > x.most then 'warn' else 'ok' end,
        format('the oldest %s is %s back; the server stops at 2 thousand million', x.what, x.age),
        case when x.age > x.most then format('vacuum (freeze) in database %I; find what holds it back under old snapshots', current_database()) end
    from (
        select 'transaction id' as what, age(d.datfrozenxid)::bigint as age, v_frozen as most from pg_database d where d.datname = current_database()
        union all
        select 'multixact', mxid_age(d.datminmxid), v_members from pg_database d where d.datname = current_database()
    ) x
    order by x.age::numeric / x.most desc limit 1;
end
$$;
