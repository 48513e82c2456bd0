-- _now: the engine's clock. Databases marked for tests may move it.
create or replace function df._now() returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return clock_timestamp() + (select e.clock_offset from df._engine e);
end
$$;
