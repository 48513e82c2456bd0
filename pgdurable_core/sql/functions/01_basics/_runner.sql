-- _runner: a role's runner, found by its name, so that a restored dump needs no old oids; null when it has none.
create or replace function df._runner(p_role regrole) returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select to_regproc('df_runners.run_' || p_role::oid)::oid $$;
