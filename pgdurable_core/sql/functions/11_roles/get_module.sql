create or replace function df.get_module(name text, sha256 text) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select m.content from df._modules m where m.name = $1 and m.sha256 = $2 $$;
comment on function df.get_module(text, text) is 'the source of a pinned module, for workers; null when it was never stored';
