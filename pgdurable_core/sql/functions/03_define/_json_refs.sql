-- _json_refs: the step keys a JSON value names as {"xcom": "key"}.
create or replace function df._json_refs(p_value jsonb) returns setof text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select v #>> '{}' from jsonb_path_query(p_value, 'strict $.**.xcom ? (@.type() == "string")') v $$;
