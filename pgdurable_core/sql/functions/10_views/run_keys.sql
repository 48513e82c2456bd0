create or replace view df.run_keys with (security_barrier) as
select w.namespace, w.name as workflow, k.run_key, k.instance_id, coalesce(i.state, k.end_state) as status, k.created_at, k.ended_at as purged_end_at
from df._run_keys k
join df._workflows w on w.workflow_id = k.workflow_id
left join df._instances i on i.instance_id = k.instance_id
cross join df._reader r
where r.sees_all or w.created_by = r.role;
comment on view df.run_keys is 'which instance a run key started, and how it ended; kept longer than the instance';
