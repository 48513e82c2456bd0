-- _serves: whether a login that serves these roles (",oid,oid,") may run a ready step; maps are anybody's.
--
-- Asked before the row is locked: a session that locked a row only to find it not its own would hide it
-- from those who may run it, and they would pass it by for good.
create or replace function df._serves(p_instance text, p_plan bigint, p_step integer, p_served text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return coalesce((
        select p.kind = 'map' or i.state not in ('pending', 'running') or strpos(p_served, ',' || coalesce(p.run_as::oid::text,
            i.settings -> 'connections' ->> p.connection, i.submitted_by::oid::text) || ',') > 0
        from df._plan_steps p, df._instances i
        where p.plan_id = p_plan and p.step = p_step and i.instance_id = p_instance), true);
end
$$;
