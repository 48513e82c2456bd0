-- _builder: what every builder returns, text that df.step and the operators take.
create or replace function df._builder(p_node_type text, p_query text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select '{"node_type":' || to_json(p_node_type) || ',"query":' || to_json(p_query) || '}' $$;
