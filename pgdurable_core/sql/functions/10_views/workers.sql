create or replace view df.workers with (security_barrier) as
select w.worker_id, w.name, w.host, w.pid, w.version, w.started_at, w.last_beat_at, w.lease_until > clock_timestamp() as is_alive,
    (select count(*)::integer from df._sessions s where s.worker_id = w.worker_id) as sessions
from df._workers w;
comment on view df.workers is 'worker processes and their leases';
