-- _own_since: since when prepared statements are the steps' and not the caller's; null when the caller has none.
-- SECURITY INVOKER, called by df.work before its first step.
create or replace function df._own_since() returns timestamptz
language sql
set search_path = pg_catalog, pg_temp
as $$ select statement_timestamp() from pg_prepared_statements limit 1 $$;
