create or replace function df.branch(query text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$ select df._builder('BRANCH', df._trim_newlines(query)) $$;
comment on function df.branch(text) is 'a query that returns the keys of the steps to follow; the other direct successors are skipped';
