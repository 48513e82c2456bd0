-- _advert: the advisory lock key under which a session says which claim it executes.
--
-- Transaction-level: a step cannot release it, only add false ones. Tag 0xDF01 over 48 bits of token.
create or replace function df._advert(p_token bigint) returns bigint
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$ select (57089::bigint << 48) | (p_token & 281474976710655) $$;
