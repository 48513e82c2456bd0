create or replace function df.sql(query text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$ select df._builder('SQL', query) $$;
comment on function df.sql(text) is 'a SQL step; plain text given as run means the same';
