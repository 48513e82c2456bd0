-- 0001_engine: everything the engine remembers.
--
-- Base tables carry an underscore and are granted to nobody; people read the views and
-- call the functions. Hot tables have no foreign keys: a key share lock on an instance
-- per step would burn a multixact per step; nor checks, which PostgreSQL reads anew in every
-- statement. Rows that belong together are written in one transaction.

create schema df;
comment on schema df is 'pgdurable: durable workflows';
create schema df_runners;
comment on schema df_runners is 'pgdurable: one runner function per role';

-- States as domains: PostgreSQL keeps a domain's check ready, while a table's is read anew by every statement.
create domain df.instance_state as text
    constraint instance_state check (value in ('pending', 'running', 'completed', 'failed', 'cancelled'));
create domain df.step_state as text
    constraint step_state check (value in ('waiting', 'ready', 'running', 'sleeping', 'retrying', 'completed', 'failed', 'skipped',
        'upstream_failed', 'removed', 'cancelled'));

create type df._outcome as (result json, row_count bigint);
comment on type df._outcome is 'what a runner hands back';

create table df._engine (
    only_row boolean primary key default true check (only_row),
    schema_version integer not null,
    version text not null,
    draining boolean not null default false,
    crash_horizon xid8 not null default '0',
    epoch bigint not null default 1,
    solo_token bigint,
    solo_session bigint,
    environment text,
    endpoint text,
    system_identifier text,
    database_oid oid,
    is_test boolean not null default false,
    clock_offset interval not null default interval '0',
    session_defaults jsonb not null default '{}',
    max_result_rows integer not null default 10000 check (max_result_rows > 0),
    max_result_bytes bigint not null default 16777216 check (max_result_bytes > 0),
    max_log_lines integer not null default 10000 check (max_log_lines > 0),
    max_map_length integer not null default 100000 check (max_map_length > 0),
    retain_finished interval not null default interval '30 days',
    retain_run_keys interval not null default interval '90 days',
    installed_at timestamptz not null default clock_timestamp(),
    upgraded_at timestamptz,
    adopted_at timestamptz,
    adopted_by text
);
comment on table df._engine is 'one row: which engine this is, in which environment, and what the last crash left';

create table df._recovery (
    only_row boolean primary key default true check (only_row)
);
insert into df._recovery default values;
comment on table df._recovery is 'its row is locked by whoever takes dead sessions'' work back; an advisory lock could be taken by anybody';

create table df._namespaces (
    namespace text primary key check (namespace ~ '^[A-Za-z0-9_.-]{1,250}$'),
    doc text,
    created_at timestamptz not null default clock_timestamp()
);
insert into df._namespaces (namespace, doc) values ('default', 'where a workflow goes that names no other');

create table df._roles (
    role regrole primary key,
    is_user boolean not null default false,
    is_operator boolean not null default false,
    may_write_modules boolean not null default false,
    granted_by text not null default current_user,
    granted_at timestamptz not null default clock_timestamp()
);
comment on table df._roles is 'who uses df; a user has a runner function, df_runners.run_<oid>';

create table df._worker_roles (
    worker regrole not null,
    role regrole not null,
    primary key (worker, role)
);
comment on table df._worker_roles is 'which worker login serves which roles; one worker login per trust domain';

create table df._lanes (
    lane smallint primary key,
    name text not null unique
);
insert into df._lanes values (1, 'sql'), (2, 'suspect'), (3, 'session'), (4, 'python'), (5, 'shell');

create table df._plans (
    plan_id bigint generated always as identity primary key,
    hash bytea not null,
    step_count integer not null,
    sink_count integer not null,
    roles regrole[] not null default '{}',
    created_at timestamptz not null default clock_timestamp()
);
create index _plans_hash on df._plans (hash);
comment on table df._plans is 'a graph compiled for the engine: immutable, found by content, shared by all its instances';

create table df._plan_steps (
    plan_id bigint not null,
    step integer not null,
    key text not null,
    kind text not null check (kind in ('sql', 'check', 'branch', 'python', 'shell', 'empty', 'map', 'gather', 'start', 'end')),
    lane smallint not null,
    class smallint not null default 8 check (class between 0 and 15),
    statement_class text check (statement_class in ('plain', 'session', 'autonomous')),
    rule text not null,
    n integer not null,
    upstream integer[] not null default '{}',
    succ integer[] not null default '{}',
    succ_ord integer[] not null default '{}',
    shards smallint not null default 0,
    is_join boolean not null default false,
    next_step integer,
    next_lane smallint,
    next_is_alike boolean not null default false,
    parent integer,
    gather integer,
    each_step integer,
    texts text[] not null default '{}',
    modes text not null default '',
    parts jsonb,
    binds jsonb,
    run jsonb not null default '{}',
    run_as regrole,
    connection text,
    pool text,
    retries integer not null default 0,
    retry_delay interval not null default interval '5 minutes',
    timeout interval,
    result_name text,
    primary key (plan_id, step)
);
comment on column df._plan_steps.next_step is
    'the one real step that success makes ready, 0 when success ends the instance, null when more is to be decided';
comment on column df._plan_steps.next_is_alike is
    'this and the next are plain SQL of one role, the next without a timeout: who finishes this one may claim the next with the same commit';
create index _plan_steps_key on df._plan_steps (plan_id, key);

create table df._step_lanes (
    plan_id bigint not null,
    step integer not null,
    fast_streak integer not null default 0,
    primary key (plan_id, step)
) with (fillfactor = 50);
comment on table df._step_lanes is 'attempts in a row that took under 50 ms; twenty earn the one-commit lane';

create table df._workflows (
    workflow_id bigint generated always as identity primary key,
    namespace text not null,
    name text not null check (name ~ '^[A-Za-z0-9_.-]{1,250}$'),
    version integer not null default 0,
    is_paused boolean not null default false,
    created_by regrole not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (namespace, name)
);

create table df._workflow_versions (
    workflow_id bigint not null,
    version integer not null,
    plan_id bigint not null,
    hash bytea not null,
    namespace text not null default 'default',
    document jsonb not null,
    sources jsonb not null default '{}',
    docs jsonb not null default '{}',
    schedule text,
    timezone text not null default 'UTC',
    start_date timestamptz,
    end_date timestamptz,
    submitted_by regrole not null,
    actor text not null,
    reason text,
    traceparent text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (workflow_id, version)
);

create sequence df._instance_ids;

create table df._instances (
    instance_id text collate "C" primary key check (instance_id ~ '^[0-9a-f]{12}$'),
    workflow_id bigint not null,
    version integer not null,
    plan_id bigint not null,
    namespace text not null,
    workflow text not null,
    state df.instance_state not null default 'pending',
    generation integer not null default 1,
    label text,
    run_key text,
    run_id text not null,
    run_type text not null default 'manual',
    logical_date timestamptz,
    data_interval_start timestamptz,
    data_interval_end timestamptz,
    params jsonb not null default '{}',
    settings jsonb not null default '{}',
    has_deadlines boolean not null default false,
    submitted_by regrole not null,
    actor text not null,
    reason text,
    traceparent text,
    created_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    error jsonb,
    constraint _instances_finished check ((state in ('completed', 'failed', 'cancelled')) = (finished_at is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
create index _instances_created on df._instances (created_at desc);
create index _instances_open on df._instances (created_at) where finished_at is null;

create table df._run_keys (
    workflow_id bigint not null,
    run_key text not null,
    instance_id text collate "C" not null,
    created_at timestamptz not null default clock_timestamp(),
    end_state text,
    primary key (workflow_id, run_key)
);
comment on table df._run_keys is 'outlives the instance, so that a late retry of the caller starts nothing twice';

create sequence df._scope_ids;

create table df._scopes (
    instance_id text collate "C" not null,
    scope_id bigint not null,
    parent_scope_id bigint not null,
    step integer not null,
    map_index integer not null,
    item jsonb,
    primary key (instance_id, scope_id)
);

create sequence df._queue_seq;

create table df._steps (
    instance_id text collate "C" not null,
    scope_id bigint not null default 0,
    step integer not null,
    plan_id bigint not null,
    state df.step_state not null,
    lane smallint not null default 1,
    class smallint not null default 8,
    enq xid8 not null default pg_current_xact_id(),
    seq bigint not null default nextval('df._queue_seq'),
    attempt integer not null default 0,
    max_attempts integer,
    generation integer not null default 1,
    is_settled boolean not null default true,
    is_suspect boolean not null default false,
    charged smallint not null default 0,
    caught smallint not null default 0,
    holder bigint,
    worker_id bigint,
    ready_at timestamptz default clock_timestamp(),
    due_at timestamptz,
    started_at timestamptz,
    deadline_at timestamptz,
    finished_at timestamptz,
    row_count bigint,
    result json,
    error jsonb,
    reason text,
    primary key (instance_id, scope_id, step)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0);
comment on table df._steps is 'a row is made when the step becomes ready; seq is its queue position and the token of its claim';
create index _steps_ready on df._steps (lane, class, enq, seq) where state = 'ready';
create index _steps_due_at on df._steps (due_at) where state in ('sleeping', 'retrying');
create index _steps_running on df._steps (holder, worker_id) where state = 'running';

create table df._joins (
    instance_id text collate "C" not null,
    scope_id bigint not null,
    step integer not null,
    shard smallint not null default 0,
    n integer not null,
    s integer not null default 0,
    f integer not null default 0,
    k integer not null default 0,
    u integer not null default 0,
    r integer not null default 0,
    shards smallint not null default 0,
    decided text check (decided in ('run', 'skipped', 'upstream_failed')),
    is_terminal boolean not null default false,
    primary key (instance_id, scope_id, step, shard)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
comment on table df._joins is 'arrivals at steps with more than one of them; never the row a running step holds';

create table df._attempts (
    instance_id text collate "C" not null,
    scope_id bigint not null,
    step integer not null,
    generation integer not null,
    attempt integer not null,
    map_index integer,
    seq bigint not null,
    outcome text not null check (outcome in ('failed', 'lost', 'cleared', 'completed', 'skipped', 'cancelled')),
    error jsonb,
    row_count bigint,
    started_at timestamptz,
    finished_at timestamptz not null default clock_timestamp(),
    holder bigint,
    worker_id bigint,
    primary key (instance_id, scope_id, step, generation, seq)
);

create table df._events (
    event_id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    instance_id text collate "C",
    workflow_id bigint,
    scope_id bigint,
    step integer,
    kind text not null,
    actor text not null,
    submitted_by regrole,
    reason text,
    traceparent text,
    detail jsonb
);
create index _events_instance on df._events (instance_id, event_id);

create table df._logs (
    log_id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    instance_id text collate "C" not null,
    scope_id bigint not null,
    step integer not null,
    attempt integer not null,
    token bigint not null,
    stream text not null check (stream in ('stdout', 'stderr', 'notice', 'engine')),
    line text not null
);
create index _logs_instance on df._logs (instance_id, scope_id, step, log_id);

create table df._commands (
    command_id bigint generated always as identity primary key,
    enq xid8 not null default pg_current_xact_id(),
    seq bigint not null default nextval('df._queue_seq'),
    instance_id text collate "C" not null,
    kind text not null check (kind in ('cancel', 'retry', 'propagate')),
    args jsonb not null default '{}',
    submitted_by regrole not null,
    actor text not null,
    reason text,
    traceparent text,
    attempts integer not null default 0,
    not_before timestamptz,
    created_at timestamptz not null default clock_timestamp()
);
create index _commands_queue on df._commands (enq, seq);
create index _commands_instance on df._commands (instance_id, command_id);

create table df._sessions (
    session_id bigint generated always as identity primary key,
    pid integer not null,
    backend_start timestamptz not null,
    login text not null,
    worker_id bigint,
    postmaster_started timestamptz not null default pg_postmaster_start_time(),
    opened_at timestamptz not null default clock_timestamp()
);
comment on table df._sessions is 'every df.work call that claimed something; a row whose backend is gone marks a crash';

create table df._workers (
    worker_id bigint generated always as identity primary key,
    name text not null,
    host text not null,
    pid integer not null,
    version text not null,
    login text not null,
    lease interval not null,
    lease_until timestamptz not null,
    started_at timestamptz not null default clock_timestamp(),
    last_beat_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

create table df._sleepers (
    worker_id bigint primary key,
    lanes text[] not null,
    since timestamptz not null default clock_timestamp()
);

create table df._stops (
    token bigint primary key,
    session_id bigint,
    worker_id bigint,
    instance_id text collate "C" not null,
    reason text not null check (reason in ('cancel', 'timeout')),
    created_at timestamptz not null default clock_timestamp(),
    signalled_at timestamptz
);
comment on table df._stops is 'committed before a running statement is signalled; a cancel without one is not ours';

create table df._positions (
    login text primary key,
    seen text not null,
    at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table df._positions is
    'up to which snapshot the sessions of this login have been offered everything: epoch|postmaster start|pg_snapshot';

create table df._modules (
    name text not null,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    content text not null,
    created_by regrole not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (name, sha256)
);

create table df._variables (
    namespace text not null default 'default',
    name text not null,
    value text,
    owner regrole not null default quote_ident(current_user)::regrole,
    updated_by text not null default current_user,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (namespace, name)
);

create table df._connections (
    namespace text not null default 'default',
    name text not null,
    kind text not null default 'here' check (kind in ('here')),
    role regrole,
    login text check (login is null or login ~ '^(env|file|cmd):'),
    owner regrole not null default quote_ident(current_user)::regrole,
    updated_by text not null default current_user,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (namespace, name)
);
comment on column df._connections.login is 'a reference to a DSN, never the DSN: env:NAME, file:PATH, cmd:COMMAND';

create table df._calls (
    verb text not null,
    args jsonb not null default '{}',
    caller regrole not null default quote_ident(current_user)::regrole
);
comment on table df._calls is
    'the gate: nobody may write caller, so its default proves who calls; a definer trigger acts and stores no row';
