create or replace view df.logs with (security_barrier) as
select l.log_id, l.at, l.instance_id, l.scope_id, l.step, p.key, sc.map_index, l.attempt, l.stream, l.line
from df._logs l
join df._instances i on i.instance_id = l.instance_id
join df._plan_steps p on p.plan_id = i.plan_id and p.step = l.step
left join df._scopes sc on l.scope_id <> 0 and sc.instance_id = l.instance_id and sc.scope_id = l.scope_id
cross join df._reader r
where r.sees_all or i.submitted_by = r.role;
comment on view df.logs is 'stdout, stderr and notices of steps, kept though the step rolled back';
