create or replace function df.check(query text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$ select df._builder('CHECK', df._trim_newlines(query)) $$;
comment on function df.check(text) is 'a query whose first row must exist and be true in every column, else the step fails (PD422)';
