create or replace view df.attempts with (security_barrier) as
select x.instance_id, x.scope_id, x.step, p.key, x.map_index, x.generation, x.attempt, x.status, x.error, x.started_at, x.finished_at, x.worker
from (
    select a.instance_id, a.scope_id, a.step, a.map_index, a.generation, a.attempt, a.outcome as status, a.error, a.started_at, a.finished_at, a.worker_id as worker
    from df._attempts a
    union all
    select s.instance_id, s.scope_id, s.step, sc.map_index, s.generation, s.attempt + (s.state = 'running')::integer, s.state, s.error, s.started_at, s.finished_at, s.worker_id
    from df._steps s left join df._scopes sc on s.scope_id <> 0 and sc.instance_id = s.instance_id and sc.scope_id = s.scope_id
    where s.state in ('completed', 'failed', 'running', 'cancelled') and s.started_at is not null
) x
join df._instances i on i.instance_id = x.instance_id
join df._plan_steps p on p.plan_id = i.plan_id and p.step = x.step and p.kind not in ('gather', 'map', 'empty')
cross join df._reader r
where r.sees_all or i.submitted_by = r.role;
comment on view df.attempts is 'every attempt of every step: failed and lost ones, and the last';
