-- _step_facts: kind, class and rule of the steps of a workflow's current plan (of a map: of its body), of the
-- workflows that the reading role sees. A view, since a definer function could not tell who reads.
create or replace view df._step_facts with (security_barrier) as
select w.namespace, w.name, p.key, p.kind, p.statement_class, p.rule
from df._workflows w
join df._workflow_versions v on v.workflow_id = w.workflow_id and v.version = w.version
join df._plan_steps p on p.plan_id = v.plan_id and p.kind not in ('map', 'gather')
cross join df._reader r
where r.sees_all or w.created_by = r.role;
