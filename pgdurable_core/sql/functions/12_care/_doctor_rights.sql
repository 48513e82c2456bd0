-- _doctor_rights: whose schema df is, whose steps can run, and who works for whom.
create or replace function df._doctor_rights() returns table ("check" text, level text, detail text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner constant regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'df');
    v_any boolean;
begin
    return query
    select 'owner', 'bad', format('%s belongs to %s, not to %s, the owner of df', x.what, x.owner, v_owner), format('alter %s owner to %s', x.what, v_owner)
    from (
        select case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure as what, p.proowner::regrole as owner
        from pg_proc p where p.pronamespace = 'df'::regnamespace and p.proowner <> v_owner
        union all
        select case c.relkind when 'v' then 'view ' when 'S' then 'sequence ' else 'table ' end || c.oid::regclass, c.relowner::regrole
        from pg_class c where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v', 'S') and c.relowner <> v_owner
        order by 1 limit 10
    ) x;
    v_any := found;
    return query
    select 'owner', 'bad', format('%s may create objects in schema %s, which the engine calls by name', g.grantee, g.nspname),
        format('revoke create on schema %s from %s', g.nspname, g.grantee)
    from (
        select n.nspname, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as grantee
        from pg_namespace n, aclexplode(n.nspacl) a
        where n.nspname in ('df', 'df_runners') and a.privilege_type = 'CREATE' and a.grantee <> n.nspowner
    ) g;
    if not (v_any or found) then
        return query select 'owner', 'ok', format('%s owns everything in df, and nobody else creates there', v_owner), null::text;
    end if;

    return query
    select 'runners', x.level, x.detail, x.remedy
    from (
        select 'bad' as level, format('role number %s of df._roles is gone', r.role::oid) as detail, format('delete from df._roles where role = ''%s''', r.role::oid) as remedy
        from df._roles r where not exists (select from pg_roles p where p.oid = r.role)
        union all
        select 'bad', format('%s has no runner: its steps wait for ever', r.role), format('select df.grant_usage(%L)', p.rolname)
        from df._roles r join pg_roles p on p.oid = r.role where r.is_user and df._runner(r.role) is null
        union all
        select 'bad', format('the runner of %s belongs to %s: its steps are refused (PD403)', r.role, f.proowner::regrole),
            format('alter function %s owner to %s', f.oid::regprocedure, r.role)
        from df._roles r join pg_proc f on f.oid = df._runner(r.role) where f.proowner <> r.role
        union all
        select 'bad', format('the runner of %s is no longer SECURITY DEFINER: its steps fail', r.role), format('alter function %s security definer', f.oid::regprocedure)
        from df._roles r join pg_proc f on f.oid = df._runner(r.role) where not f.prosecdef
        union all
        select 'warn', format('%s runs steps of a role that may not use df', f.oid::regprocedure), format('drop function %s', f.oid::regprocedure)
        from pg_proc f where f.pronamespace = 'df_runners'::regnamespace and f.proname not in (select 'run_' || r.role::oid from df._roles r)
    ) x
    order by x.level, x.detail limit 20;
    if not found then
        return query select 'runners', 'ok', format('roles that use df: %s, each with a runner of its own', (select count(*) from df._roles r where r.is_user)), null::text;
    end if;

    return query
    select 'worker roles', x.level, x.detail, x.remedy
    from (
        select 'bad' as level, format('role number %s of df._worker_roles is gone', x.gone) as detail,
            format('delete from df._worker_roles where ''%s'' in (worker::oid, role::oid)', x.gone) as remedy
        from (select w.worker::oid as gone from df._worker_roles w union select w.role::oid from df._worker_roles w) x
        where not exists (select from pg_roles p where p.oid = x.gone)
        union all
        select 'bad', format('%s works for %s and may not call its runner', w.worker, w.role), format('select df.grant_worker(%L, %L)', p.rolname, r.rolname)
        from df._worker_roles w join pg_roles p on p.oid = w.worker join pg_roles r on r.oid = w.role
        where df._runner(w.role) is not null and not has_function_privilege(w.worker, df._runner(w.role), 'execute')
        union all
        select distinct 'warn', format('%s cannot see the sessions of %s: one that hangs on after an error is found only when it ends', v_owner, w.worker),
            format('grant %s to %s', w.worker, v_owner)
        from df._worker_roles w join pg_roles p on p.oid = w.worker
        where w.worker <> v_owner and not pg_has_role(v_owner, w.worker, 'usage') and not pg_has_role(v_owner, 'pg_read_all_stats', 'usage')
    ) x
    order by x.level, x.detail limit 20;
    if not found then
        return query select 'worker roles', 'ok', format('logins that work for others: %s', (select count(distinct w.worker) from df._worker_roles w where w.worker <> w.role)), null::text;
    end if;
end
$$;
