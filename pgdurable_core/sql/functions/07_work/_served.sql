-- _served: the roles whose steps this login may run, as ",oid,oid,".
create or replace function df._served() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select ',' || coalesce(string_agg(r.role::oid::text || ',', ''), '')
    from df._roles r
    where has_function_privilege(session_user, df._runner(r.role), 'execute')
$$;
