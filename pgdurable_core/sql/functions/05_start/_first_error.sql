-- _first_error: what made an instance fail: its first failed step, with key and source.
create or replace function df._first_error(p_instance text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('step', p.key, 'map_index', sc.map_index) || coalesce(s.error, '{}')
    from df._steps s
    join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step and p.kind not in ('gather', 'map')
    left join df._scopes sc on sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
    where s.instance_id = p_instance and s.state = 'failed'
    order by s.finished_at limit 1
$$;
