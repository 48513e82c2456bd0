create or replace view df.events with (security_barrier) as
select e.event_id, e.at, e.instance_id, coalesce(i.workflow, w.name) as workflow, p.key, e.kind, e.actor, e.reason, e.detail, e.traceparent
from df._events e
left join df._instances i on i.instance_id = e.instance_id
left join df._workflows w on w.workflow_id = e.workflow_id
left join df._plan_steps p on p.plan_id = i.plan_id and p.step = e.step
cross join df._reader r
where r.sees_all or coalesce(i.submitted_by, w.created_by) = r.role;
comment on view df.events is 'what people and the engine did, with who and why';
