create or replace view df.steps with (security_barrier) as
select i.instance_id, x.scope_id, p.step, p.key, sc.map_index,
    case when p.kind = 'map' then b.kind else p.kind end as kind,
    coalesce(p.statement_class, case when p.kind = 'map' then b.statement_class end) as class,
    case
        when a.pid is not null and x.state = 'ready' then 'running'
        when p.kind = 'map' and x.state = 'completed' and coalesce(g.state, 'waiting') = 'waiting'
            then case when i.state = 'cancelled' then 'cancelled' else 'running' end
        when p.kind = 'map' and x.state = 'completed' then g.state
        when x.state is null and i.state = 'cancelled' then 'cancelled'
        when x.state in ('ready', 'waiting') and i.state = 'cancelled' then 'cancelled'
        else coalesce(x.state, 'waiting') end as status,
    coalesce(x.attempt, 0) + (x.state = 'running' or a.pid is not null)::integer as attempt,
    coalesce(x.max_attempts, p.retries + 1) as max_attempts, x.result, x.row_count, x.error,
    coalesce(x.started_at, a.since) as started_at,
    case when p.kind = 'map' and x.state = 'completed' then g.finished_at else x.finished_at end as finished_at, x.due_at,
    coalesce(a.pid, se.pid) as pid, case when p.kind = 'map' then df._as_written(b.texts, b.parts) else df._as_written(p.texts, p.parts) end as sql_text,
    v.sources ->> p.key as source, p.rule, array(select u.key from unnest(p.upstream) n(step) join df._plan_steps u on u.plan_id = p.plan_id and u.step = n.step) as after,
    v.docs ->> p.key as doc, x.reason, x.ready_at, x.charged, x.caught, x.is_suspect, p.run -> 'callable' #>> '{}' as callable, p.parent is not null as is_item
from df._instances i
join df._workflow_versions v on v.workflow_id = i.workflow_id and v.version = i.version
cross join df._reader r
join df._plan_steps p on p.plan_id = i.plan_id and p.kind not in ('start', 'end', 'gather')
left join df._steps x on x.instance_id = i.instance_id and x.step = p.step
left join df._scopes sc on sc.instance_id = i.instance_id and sc.scope_id = x.scope_id and x.scope_id <> 0
left join df._plan_steps b on p.kind = 'map' and b.plan_id = p.plan_id and b.step = p.step + 1
left join df._steps g on p.kind = 'map' and g.instance_id = i.instance_id and g.scope_id = x.scope_id and g.step = p.gather
left join df._sessions se on x.state = 'running' and se.session_id = x.holder
left join df._running() a on x.state in ('ready', 'running') and a.token = x.seq
where (r.sees_all or i.submitted_by = r.role)
  and (p.parent is null or x.step is not null);
comment on view df.steps is 'every step of every instance the reader may see: plan and rows joined, waiting ones and map items included';
