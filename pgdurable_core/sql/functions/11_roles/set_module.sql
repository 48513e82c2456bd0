create or replace function df.set_module(name text, content text) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select df._ask('module', jsonb_build_object('name', name, 'content', content)) $$;
comment on function df.set_module(text, text) is 'store Python source under its sha256, which a workflow pins; a right of its own';
