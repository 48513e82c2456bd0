-- _xcom: a step's result as a worker hands it to Python: {"__rows__": [[…], …]} for rows, the value itself
-- otherwise; for a mapped step a list of these in order of map index, without failed and skipped ones.
create or replace function df._xcom(p_instance text, p_plan bigint, p_step integer) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind text;
    v json;
begin
    select p.kind into v_kind from df._plan_steps p where p.plan_id = p_plan and p.step = p_step;
    if v_kind = 'gather' then
        return (select coalesce(json_agg(df._as_rows(s.result, b.kind) order by sc.map_index), '[]')
            from df._scopes sc
            join df._steps s on s.instance_id = sc.instance_id and s.scope_id = sc.scope_id and s.step = p_step - 1 and s.state = 'completed'
            join df._plan_steps b on b.plan_id = p_plan and b.step = p_step - 1
            where sc.instance_id = p_instance and sc.step = p_step - 2 and s.result is not null);
    end if;
    select df._as_rows(s.result, v_kind) into v from df._steps s where s.instance_id = p_instance and s.scope_id = 0 and s.step = p_step and s.state = 'completed';
    return v;
end
$$;
