create or replace view df.instances with (security_barrier) as
select i.instance_id, i.namespace, i.workflow, i.version, i.label, i.run_key, i.state as status, i.logical_date, i.params, i.error,
    i.error ->> 'step' as failed_step, i.submitted_by, i.actor, i.reason, i.traceparent, i.created_at, i.started_at, i.finished_at,
    exists (select from df._commands c where c.instance_id = i.instance_id and c.kind = 'cancel') as is_cancelling,
    i.run_id, i.generation, i.workflow_id
from df._instances i
cross join df._reader r
where r.sees_all or i.submitted_by = r.role;
comment on view df.instances is 'every instance the reader may see';
