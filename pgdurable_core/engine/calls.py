"""Every statement that Python sends to the engine, one named constant each.

Positional placeholders stand in the order of the function's arguments; the meaning of each call is in
`pgdurable_core/sql/README.md`.
"""

from typing import Final

# What the database is. `df._engine` is readable by its owner alone.
ENGINE: Final = """
select schema_version, version, draining, environment, endpoint, system_identifier, database_oid, is_test
from   df._engine
"""
HAS_ENGINE: Final = """
select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'df' and c.relname = '_engine')
"""
VERSION: Final = "select df.version()"
SERVER: Final = """
select pg_catalog.current_database()::text, current_user::text,
       pg_catalog.current_setting('server_version'), pg_catalog.current_setting('port'),
       pg_catalog.inet_server_addr()::text
"""

# For the owner of df and operators. Null where the schema is older than the function.
MAY_ASK_DOCTOR: Final = """
select pg_catalog.has_function_privilege(
           (select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            where n.nspname = 'df' and p.proname = 'doctor'), 'execute')
"""
DOCTOR: Final = 'select "check", level, detail, remedy from df.doctor()'
CLOCK: Final = "select pg_catalog.clock_timestamp()"
# Offsets from UTC in seconds, of those zones that the server knows.
ZONE_OFFSETS: Final = """
select z.name, at, extract(epoch from (at at time zone z.name) - (at at time zone 'UTC'))::int
from   pg_catalog.pg_timezone_names z, pg_catalog.unnest(%s::timestamptz[]) at
where  z.name = any(%s)
"""
BACKEND_PID: Final = "select pg_catalog.pg_backend_pid()"

# Workers.
WORK: Final = "call df.work(max_seconds => %s, idle_seconds => %s, worker => %s, pos => %s)"
HAS_WORK: Final = "select df.has_work(%s)"
NEXT_DUE: Final = "select df.next_due()"
# What a sleeping session asks: is there work, and in how many seconds is the next timer due.
HAS_WORK_OR_DUE: Final = """
select df.has_work(%s), extract(epoch from df.next_due() - pg_catalog.clock_timestamp())::pg_catalog.float8
"""
TICK: Final = "call df.tick()"
SIGNAL_STOPS: Final = "select df.signal_stops()"
REGISTER_WORKER: Final = "select df.register_worker(%s, %s, %s, %s, %s)"
BEAT: Final = "select df.beat(%s)"
UNREGISTER_WORKER: Final = "select df.unregister_worker(%s)"
SLEEP_WORKER: Final = "select df.sleep_worker(%s, %s)"
WAKE_WORKER: Final = "select df.wake_worker(%s)"
# As text: a driver that reads JSON would lose the digits of numbers.
CLAIM_STEP: Final = "select df.claim_step(%s, %s)::pg_catalog.text"
COMPLETE_STEP: Final = "select df.complete_step(%s, %s, %s, %s, %s, %s)"
SESSION_TEXT: Final = "select df.session_text(%s, %s, %s, %s)"
FAIL_STEP: Final = "select df.fail_step(%s, %s, %s, %s, %s, %s)"
SKIP_STEP: Final = "select df.skip_step(%s, %s, %s, %s, %s)"
LOG: Final = "select df.log(%s, %s, %s, %s, %s, %s)"
STOPPED: Final = "select token, reason from df.stopped(%s)"
LISTEN: Final = "listen df"
PROMETHEUS: Final = "select df.prometheus()"

# Workflows and instances.
START_WORKFLOW: Final = """
select df.start_workflow(%(name)s, params => %(params)s, logical_date => %(logical_date)s, run_key => %(run_key)s,
                         label => %(label)s, reason => %(reason)s, traceparent => %(traceparent)s,
                         namespace => %(namespace)s)
"""
CREATE_WORKFLOW: Final = "select df.create_workflow(%s, graph => %s, namespace => %s, reason => %s)"
CANCEL: Final = "select df.cancel(%s, %s)"
RETRY_INSTANCE: Final = "select df.retry_instance(%s, %s)"
EXPLAIN: Final = "select df.explain(%s)"
RENDER_WORKFLOW: Final = """
select key, statement, kind, class, each, role, source, text, detail, open_names, problem
from   df.render_workflow(%s, step => %s, logical_date => %s, params => %s, namespace => %s)
"""
# As text: what is read here is written elsewhere, and a driver would lose the digits of numbers.
DOCUMENT: Final = "select document::pg_catalog.text from df.workflows where namespace = %s and name = %s"
DEFINE_TEXT: Final = """
select df.create_workflow(d.document ->> 'name', graph => d.document, namespace => %s)
from   (select %s::pg_catalog.jsonb) d(document)
"""
# For a trial: steps with another run (of what they were, only their place in the graph stays), retries without delay.
DEFINE_TRIAL: Final = """
select df.create_workflow(w.name, namespace => w.namespace, reason => 'pgdurable test', graph => w.document
    || jsonb_build_object('defaults', coalesce(w.document -> 'defaults', '{}') || '{"retry_delay": "0 s"}', 'steps', (
        select jsonb_agg(s.v - 'retry_delay'::text
            - case when r.v is null then '{}' else '{bind,connection,run_as,class,pool}' end::text[]
            || case when r.v is null then '{}' else jsonb_build_object('run', r.v) end order by s.pos)
        from   jsonb_array_elements(w.document -> 'steps') with ordinality s(v, pos)
        cross join lateral (select %s::jsonb -> (s.v ->> 'key')) r(v))))
from   df.workflows w where w.namespace = %s and w.name = %s
"""
PAUSE_WORKFLOW: Final = "select df.pause_workflow(%s, namespace => %s, reason => %s)"
RESUME_WORKFLOW: Final = "select df.resume_workflow(%s, namespace => %s, reason => %s)"

# What is kept, and what a copy of a database is.
PURGEABLE: Final = """
select what, in_namespace, of_workflow, count, oldest
from   df.purgeable(%(older_than)s, %(workflow)s, %(namespace)s, %(keep_keys)s)
"""
PURGE: Final = """
call df.purge(%(older_than)s, %(workflow)s, %(namespace)s, %(keep_keys)s, max_seconds => %(max_seconds)s)
"""
RUN_KEY: Final = """
select run_key, instance_id, status, purged_end_at
from   df.run_keys where workflow = %s and run_key = %s and namespace = %s
"""
# An engine of an older schema does not know; it refuses nothing either.
KNOWS_COPIES: Final = "select pg_catalog.to_regprocedure('df.copied_from()') is not null"
COPIED_FROM: Final = "select df.copied_from()"
ADOPT: Final = "select df.adopt(%s, what => %s)"

# What a deployment stores.
SET_MODULE: Final = "select df.set_module(%s, %s)"
GET_MODULE: Final = "select df.get_module(%s, %s)"
SET_CONNECTION: Final = "select df.set_connection(%s, kind => %s, role => %s, namespace => %s)"
SET_VARIABLE: Final = "select df.set_variable(%s, %s, %s)"
NAMESPACE_HERE: Final = "select pg_catalog.set_config('df.namespace', %s, true)"
STORED_MODULES: Final = "select name, sha256 from df.modules"
CONNECTIONS: Final = """
select name, pg_catalog.pg_get_userbyid(role::oid)::text from df.connections where namespace = %s
"""
VARIABLES: Final = "select name, value from df.variables where namespace = %s"

# Rights.
GRANT_USAGE: Final = "select df.grant_usage(%s)"
REVOKE_USAGE: Final = "select df.revoke_usage(%s)"
GRANT_WORKER: Final = "select df.grant_worker(%s, %s)"
GRANT_OPERATOR: Final = "select df.grant_operator(%s)"

# Views: always every column, in the view's order.
WORKFLOWS: Final = """
select namespace, name, version, is_paused, schedule, timezone, next_run_at, step_count, doc, owner, tags, plan_hash,
       created_at, created_by, actor
from   df.workflows
where  (%(namespace)s::text is null or namespace = %(namespace)s)
and    (%(name)s::text is null or name = %(name)s)
order  by namespace, name
"""
PARAMS: Final = "select document -> 'params' from df.workflows where name = %s and namespace = %s"
MISSING_CONNECTIONS: Final = """
select namespace, workflow, key, connection, source
from   df.missing_connections
order  by namespace, workflow, connection, key
"""
_INSTANCE_COLUMNS: Final = """
select instance_id, namespace, workflow, version, label, run_key, status, logical_date, params, error, failed_step,
       submitted_by, actor, reason, traceparent, created_at, started_at, finished_at, is_cancelling
from   df.instances
"""
INSTANCES_OPEN: Final = f"{_INSTANCE_COLUMNS} where status in ('pending', 'running') order by created_at, instance_id"
INSTANCES_ENDED_SINCE: Final = f"""{_INSTANCE_COLUMNS}
where  finished_at >= pg_catalog.clock_timestamp() - %s::interval and status = any(%s)
order  by finished_at desc, instance_id
limit  %s
"""
INSTANCES_OF_WORKFLOW: Final = f"""{_INSTANCE_COLUMNS}
where  workflow = %s and namespace = %s order by created_at desc, instance_id limit %s
"""
# Two are enough to know that a prefix is not unique; '%%' would be a wildcard of the user's, hence starts_with.
INSTANCES_BY_PREFIX: Final = f"""{_INSTANCE_COLUMNS}
where  pg_catalog.starts_with(instance_id, %s) order by instance_id limit 5
"""
INSTANCE: Final = f"{_INSTANCE_COLUMNS} where instance_id = %s"
# What whoever waits asks, of all the instances it waits for at once. Created since now() is created by this very
# transaction, or beside it.
PROGRESS: Final = """
select i.instance_id, i.status, i.generation, i.is_cancelling, i.created_at >= pg_catalog.now(),
       (select pg_catalog.count(*) from df.events e
        where e.instance_id = i.instance_id and e.kind = 'retry_refused')
from   df.instances i
where  i.instance_id = any(%s)
"""
STEPS: Final = """
select instance_id, scope_id, step, key, map_index, kind, class, status, attempt, max_attempts, result, row_count,
       error, started_at, finished_at, due_at, pid, sql_text, source, rule, after, doc, reason
from   df.steps
where  instance_id = %s
order  by step, scope_id
"""
ATTEMPTS: Final = """
select instance_id, scope_id, step, key, map_index, generation, attempt, status, error, started_at, finished_at, worker
from   df.attempts
where  instance_id = %s
order  by step, scope_id, generation, attempt, started_at
"""
EVENTS: Final = """
select event_id, at, instance_id, workflow, key, kind, actor, reason, detail
from   df.events
where  instance_id = %s
order  by event_id
"""
LOGS: Final = """
select log_id, at, instance_id, scope_id, step, key, map_index, attempt, stream, line
from   df.logs
where  instance_id = %(instance_id)s and log_id > %(after)s and (%(key)s::text is null or key = %(key)s)
order  by log_id
limit  %(limit)s
"""
WORKERS: Final = """
select worker_id, name, host, pid, version, started_at, last_beat_at, is_alive, sessions
from   df.workers
order  by worker_id
"""
QUEUE: Final = """
select pg_catalog.count(*), pg_catalog.min(s.ready_at)
from   df.instances i
join   df.steps s on s.instance_id = i.instance_id
where  i.status in ('pending', 'running') and s.status = 'ready'
"""
# greatest() passes over nulls: a step that has a timer is due when that has run out.
LATE: Final = """
select i.instance_id, i.workflow, i.logical_date, s.key, s.kind, pg_catalog.count(*),
       pg_catalog.min(greatest(s.ready_at, s.due_at)) as since
from   df.instances i
join   df.steps s on s.instance_id = i.instance_id
where  i.status in ('pending', 'running') and s.status in ('ready', 'retrying', 'sleeping')
       and greatest(s.ready_at, s.due_at) < pg_catalog.clock_timestamp() - %s::interval
group  by i.instance_id, i.workflow, i.logical_date, s.step, s.key, s.kind
order  by since, i.instance_id, s.step
"""
RUNNING_KINDS: Final = """
select distinct s.kind
from   df.instances i
join   df.steps s on s.instance_id = i.instance_id
where  i.status = 'running' and s.status = 'running' and s.kind <> 'map'
"""
