create or replace function df._is_over(w text[]) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select w[1] = 'end' $$;
