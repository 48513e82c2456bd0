-- _jobs: the claimed work of the role that reads it, and nobody else's.
--
-- settings: what the instance captured when it started: limits, where its connections point, and
-- per role what that role would have after logging in.
create or replace view df._jobs with (security_barrier) as
select s.instance_id, s.scope_id, s.step, s.seq as token, p.kind, p.key, p.texts, p.modes, p.parts, p.binds, i.plan_id,
    i.settings -> coalesce(p.run_as::oid::text, i.settings -> 'connections' ->> p.connection, i.submitted_by::oid::text) as settings,
    (i.settings ->> 'rows')::integer as max_result_rows, (i.settings ->> 'bytes')::bigint as max_result_bytes,
    i.logical_date, i.data_interval_start, i.data_interval_end, i.run_id, i.workflow, i.params, s.attempt + 1 as try_number,
    i.state in ('pending', 'running') as is_open
from df._steps s
join df._plan_steps p on p.plan_id = s.plan_id and p.step = s.step
join df._instances i on i.instance_id = s.instance_id
where s.state in ('ready', 'running')
  and coalesce(p.run_as::oid::text, i.settings -> 'connections' ->> p.connection, i.submitted_by::oid::text) = df._me()::oid::text;
comment on view df._jobs is 'the claimed work of the role that reads it';
