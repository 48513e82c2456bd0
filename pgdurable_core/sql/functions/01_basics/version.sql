-- version: what is installed here.
create or replace function df.version() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select e.version || ' (pgdurable, schema ' || e.schema_version || ')' from df._engine e $$;
comment on function df.version() is 'the version of the engine in this database';
