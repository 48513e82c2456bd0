-- _step_texts: what the steps of a workflow's current plan hold (of a map: its body), and whom each runs as, of the
-- workflows that the reading role sees. A view, since a definer function could not tell who reads.
create or replace view df._step_texts with (security_barrier) as
select w.namespace, w.name, w.created_by, v.document -> 'params' as params, p.step, p.key, p.kind, p.statement_class, e.key as each,
    v.sources ->> p.key as source, p.texts, p.parts, p.binds, p.run, p.connection,
    p.connection is not null and n.name is null as lacks_connection, coalesce(p.run_as, n.role, w.created_by) as role
from df._workflows w
join df._workflow_versions v on v.workflow_id = w.workflow_id and v.version = w.version
join df._plan_steps p on p.plan_id = v.plan_id and p.kind not in ('map', 'gather', 'start', 'end')
left join df._plan_steps m on m.plan_id = p.plan_id and m.step = p.parent
left join df._plan_steps e on e.plan_id = p.plan_id and e.step = m.each_step
left join df._connections n on n.namespace = w.namespace and n.name = p.connection
cross join df._reader r
where r.sees_all or w.created_by = r.role;
