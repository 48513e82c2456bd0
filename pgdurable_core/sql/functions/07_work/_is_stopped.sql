-- _is_stopped: whether the claim may no longer end in success: a stop row, or an instance that is over.
create or replace function df._is_stopped(p_instance text, p_token bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return not exists (select from df._instances i where i.instance_id = p_instance and i.state in ('pending', 'running'))
        or exists (select from df._stops t where t.token = p_token);
end
$$;
