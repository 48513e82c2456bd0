create or replace function df._ran(w text[]) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select w[1] in ('done') $$;
