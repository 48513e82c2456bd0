create or replace function df._tick_promote() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$ begin return df._promote(1000); end $$;
