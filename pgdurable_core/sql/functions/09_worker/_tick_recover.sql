create or replace function df._tick_recover() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_stat_clear_snapshot();
    return df._recover() + df._recover_workers();
end
$$;
