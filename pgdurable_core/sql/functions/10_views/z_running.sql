create or replace view df.running with (security_barrier) as
select s.instance_id, s.scope_id, s.step, s.key, s.map_index, s.started_at, clock_timestamp() - s.started_at as running_for, s.pid, s.attempt, s.sql_text, s.source
from df.steps s where s.status = 'running' and s.kind <> 'map';
comment on view df.running is 'what executes at this moment, one-commit steps included';
