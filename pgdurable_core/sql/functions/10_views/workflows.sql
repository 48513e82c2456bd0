create or replace view df.workflows with (security_barrier) as
select w.namespace, w.name, w.version, w.is_paused, v.schedule, v.timezone, null::timestamptz as next_run_at,
    (select count(*)::integer from df._plan_steps p where p.plan_id = v.plan_id and p.parent is null and p.kind not in ('start', 'end', 'gather')) as step_count,
    v.document ->> 'doc' as doc, v.document ->> 'owner' as owner, array(select jsonb_array_elements_text(v.document -> 'tags')) as tags,
    encode(v.hash, 'hex') as plan_hash, v.created_at, w.created_by, v.actor, v.document, v.start_date, v.end_date
from df._workflows w
join df._workflow_versions v on v.workflow_id = w.workflow_id and v.version = w.version
cross join df._reader r
where r.sees_all or w.created_by = r.role;
comment on view df.workflows is 'the current version of every workflow the reader may see';
