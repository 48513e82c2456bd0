-- _jobs: the claimed work of the role that reads it, and nobody else's.
create or replace view df._jobs with (security_barrier) as
select s.instance_id, s.scope_id, s.step, s.seq as token, p.kind, p.key, p.texts, p.modes, p.parts, p.binds, i.plan_id,
    i.submitted_by, coalesce(p.run_as, n.role, i.submitted_by) as run_as,
    i.settings -> (coalesce(p.run_as, n.role, i.submitted_by))::oid::text as settings,
    i.logical_date, i.data_interval_start, i.data_interval_end, i.run_id, i.workflow, i.params, sc.map_index, sc.item,
    s.attempt + 1 as try_number, e.max_result_rows, e.max_result_bytes
from df._steps s
join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
join df._instances i on i.instance_id = s.instance_id
cross join df._engine e
left join df._scopes sc on s.scope_id <> 0 and sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
left join df._connections n on p.connection is not null and n.namespace = i.namespace and n.name = p.connection
where s.state in ('ready', 'running')
  and coalesce(p.run_as, n.role, i.submitted_by) = df._me();
comment on view df._jobs is 'the claimed work of the role that reads it';
