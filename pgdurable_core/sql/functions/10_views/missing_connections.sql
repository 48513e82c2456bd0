create or replace view df.missing_connections with (security_barrier) as
select w.namespace, w.name as workflow, p.key, p.connection, v.sources ->> p.key as source
from df._workflows w
join df._workflow_versions v on v.workflow_id = w.workflow_id and v.version = w.version
join df._plan_steps p on p.plan_id = v.plan_id and p.connection is not null and p.parent is null and p.kind <> 'gather'
cross join df._reader r
where (r.sees_all or w.created_by = r.role)
  and not exists (select from df._connections c where c.namespace = w.namespace and c.name = p.connection);
comment on view df.missing_connections is 'connections that steps of current versions name and this database does not know, so that no instance can start';
