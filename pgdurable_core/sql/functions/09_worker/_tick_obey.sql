-- _tick_obey: process one command, while there is time: sessions that all run long steps look at none.
--
-- Returns whether there may be more to do before p_until.
create or replace function df._tick_obey(p_until timestamptz) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = 0
as $$
begin
    perform df._refuse_copy();
    return df._obey() and clock_timestamp() < p_until;
end
$$;
