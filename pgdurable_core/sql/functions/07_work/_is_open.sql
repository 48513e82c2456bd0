-- _is_open: whether an instance still wants its steps done.
create or replace function df._is_open(p_instance text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_state text;
begin
    select i.state into v_state from df._instances i where i.instance_id = p_instance;
    return coalesce(v_state in ('pending', 'running'), false);
end
$$;
