-- _purge_plans: remove plans that no workflow version has: up to a hundred.
--
-- A definition that found one by its content holds its row for key share until its version is committed.
--
-- Locks   the plans' rows (skip locked).
create or replace function df._purge_plans() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_plans bigint[];
begin
    v_plans := array(
        select p.plan_id from df._plans p where not exists (select from df._workflow_versions v where v.plan_id = p.plan_id)
        order by p.plan_id limit 100
        for update skip locked);
    if v_plans = '{}' then
        return 0;
    end if;
    v_plans := array(select x from unnest(v_plans) x where not exists (select from df._workflow_versions v where v.plan_id = x));
    delete from df._plans p where p.plan_id = any(v_plans);
    delete from df._plan_steps p where p.plan_id = any(v_plans);
    delete from df._step_lanes l where l.plan_id = any(v_plans);
    return cardinality(v_plans);
end
$$;
