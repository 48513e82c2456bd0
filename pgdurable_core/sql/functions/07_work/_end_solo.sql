create or replace function df._end_solo(p_token bigint) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$ update df._engine e set solo_token = null, solo_session = null where e.solo_token = p_token $$;
