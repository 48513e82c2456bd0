-- _judge: what a check's or a branch's rows mean. Runs inside the step's savepoint, so that a no undoes the step.
--
-- A check fails with PD422 unless its first row exists and every column is true by Airflow's reckoning
-- (false, null, 0 and '' are not). A branch returns the direct successors to skip: those that are neither
-- chosen nor a descendant of a chosen step (airflow/sdk/bases/skipmixin.py); PD400 for a key that is no step.
create or replace function df._judge(p_kind text, p_result json, p_plan bigint, p_step integer) returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_row json := case when json_typeof(p_result) = 'array' then p_result -> 0 end;
    v_keys text[] := '{}';
    v_unknown text;
    v_chosen integer[];
    v_bad text;
begin
    if p_kind = 'check' then
        if v_row is null then
            raise exception 'the check returned no row' using errcode = 'PD422';
        end if;
        select string_agg(format('%s is %s', c.key, c.value), ', ') into v_bad
        from json_each(v_row) c
        where case json_typeof(c.value) when 'null' then true when 'boolean' then c.value::text = 'false'
            when 'number' then (c.value #>> '{}')::numeric = 0 when 'string' then c.value #>> '{}' = ''
            when 'array' then json_array_length(c.value) = 0 else c.value::text in ('{}') end;
        if v_bad is not null then
            raise exception 'the check said no: %', v_bad using errcode = 'PD422';
        end if;
        return null;
    end if;
    if json_typeof(p_result) = 'array' then
        select coalesce(array_agg(k.key), '{}') into v_keys
        from json_array_elements(p_result) r(v), lateral (select x.value from json_each(r.v) x limit 1) c(value),
            lateral (select c.value #>> '{}' where json_typeof(c.value) = 'string'
                union all select json_array_elements_text(c.value) where json_typeof(c.value) = 'array') k(key);
    end if;
    select string_agg(k, ', ') into v_unknown from unnest(v_keys) k
    where not exists (select from df._plan_steps p where p.plan_id = p_plan and p.key = k and p.parent is null);
    if v_unknown is not null then
        raise exception 'the branch chose %, which is no step of this workflow', v_unknown using errcode = 'PD400';
    end if;
    select coalesce(array_agg(p.step), '{}') into v_chosen from df._plan_steps p
    where p.plan_id = p_plan and p.key = any(v_keys) and p.parent is null;
    return array(
        with recursive followed(step) as (
            select unnest(v_chosen)
            union
            select s.step from followed f join df._plan_steps p on p.plan_id = p_plan and p.step = f.step, unnest(p.succ) s(step)
        )
        select s.step from df._plan_steps p, unnest(p.succ) s(step)
        where p.plan_id = p_plan and p.step = p_step
          and s.step not in (select f.step from followed f)
          and s.step <> (select pl.step_count from df._plans pl where pl.plan_id = p_plan));
end
$$;
