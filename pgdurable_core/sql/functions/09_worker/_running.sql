-- _running: what executes now, seen without a commit through the adverts. SECURITY DEFINER: the owner of df,
-- when it is a member of the workers' roles, also sees since when.
create or replace function df._running() returns table (pid integer, token bigint, since timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select a.pid, a.token, a.since from df._adverts() a $$;
