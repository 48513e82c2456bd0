-- _restore_roles: after a dump was restored, with or without its owners and rights: make runners anew where roles have
-- other numbers or lost theirs, say the new numbers where instances name roles by number, and grant what was granted.
-- Returns how many runners were made.
--
-- Runners are dropped before any is made: an old number can be another role's new one.
--
-- Raises  PD403 when the owner of df may not become a role that it made a runner for.
create or replace function df._restore_roles() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
    v_new jsonb;
    v_numbers integer;
    v_count integer := 0;
begin
    select count(*), jsonb_object_agg(o.was::text, o.role::oid::text) into v_numbers, v_new from df._role_oids o where o.was <> o.role::oid;
    revoke all on schema df, df_runners from public;
    revoke all on all tables in schema df from public;
    revoke all on all sequences in schema df from public;
    revoke all on all functions in schema df from public;
    revoke all on all procedures in schema df from public;
    for r in
        select p.oid::regprocedure as runner from pg_proc p
        where p.pronamespace = 'df_runners'::regnamespace and (v_numbers > 0 or p.proname <> 'run_' || p.proowner)
    loop
        execute format('drop function %s', r.runner);
    end loop;
    if v_numbers > 0 then
        update df._instances i
        set settings = (
            select jsonb_object_agg(coalesce(v_new ->> s.key, s.key), case
                when s.key = 'connections' and jsonb_typeof(s.value) = 'object' then coalesce(
                    (select jsonb_object_agg(c.key, coalesce(v_new -> (c.value #>> '{}'), c.value)) from jsonb_each(s.value) c), s.value)
                else s.value end)
            from jsonb_each(i.settings) s)
        where i.settings <> '{}';
        update df._role_oids o set was = o.role::oid where o.was <> o.role::oid;
    end if;
    for r in select x.role from df._roles x where x.is_user and df._runner(x.role) is null loop
        perform df._make_runner(r.role);
        v_count := v_count + 1;
    end loop;
    perform df._grant_surface(x.role::text) from df._roles x where (x.is_user or x.is_operator) and x.role <> df._me();
    perform df.grant_worker(x.worker::text, x.role::text) from df._worker_roles x where df._runner(x.role) is not null;
    return v_count;
end
$$;
