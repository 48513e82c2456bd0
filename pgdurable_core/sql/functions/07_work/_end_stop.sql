create or replace function df._end_stop(p_token bigint) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    delete from df._stops t where t.token = p_token;
end
$$;
