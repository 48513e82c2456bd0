-- 0002_leaving: what finished instances leave with, and what tells a copy of a database from the original.
--
-- In the way of no running step: new tables, indexes (whose lock lets readers pass), and columns of two tables that a
-- step does not touch.

create table df._retention (
    namespace text not null default '',
    workflow text not null default '',
    keep interval check (keep >= interval '0'),
    keep_keys interval check (keep_keys >= interval '0'),
    set_by text not null,
    set_at timestamptz not null default clock_timestamp(),
    primary key (namespace, workflow),
    constraint _retention_names_a_namespace check (workflow = '' or namespace <> ''),
    constraint _retention_says_something check (keep is not null or keep_keys is not null)
);
comment on table df._retention is
    'how long finished instances and their run keys are kept: for a workflow, a namespace (workflow empty) or all (both empty)';

create table df._purging (
    instance_id text collate "C" primary key,
    since timestamptz not null default clock_timestamp()
);
comment on table df._purging is 'instances that are gone though their rows are more than one transaction removes; the next ones do';

create table df._purge_turns (
    only_row boolean primary key default true check (only_row),
    state jsonb not null default '{}',
    next_at timestamptz not null default '-infinity'
) with (fillfactor = 50);
insert into df._purge_turns default values;
comment on table df._purge_turns is 'how far df.tick has come with what df._retention asks for; locked by who goes on';

-- by workflow, in the order in which they leave; finished_at stands in the predicate of _instances_open already
create index _instances_ended on df._instances (workflow_id, finished_at, instance_id) include (version) where finished_at is not null;

alter table df._run_keys add column ended_at timestamptz;
comment on column df._run_keys.ended_at is 'when the instance ended, once that is purged; what is kept of the key counts from there';
create index _run_keys_ended on df._run_keys (workflow_id, ended_at, run_key) where ended_at is not null;

create index _workflow_versions_plan on df._workflow_versions (plan_id);

alter table df._modules add column unused_since timestamptz;
comment on column df._modules.unused_since is 'since when no workflow version pins it; readers do not see it then, so a deployment stores it again';

create table df._home (
    only_row boolean primary key default true check (only_row),
    engine_oid oid not null
);
insert into df._home (engine_oid) values ('df._engine'::regclass);
comment on table df._home is 'the oid of df._engine where it was made; a dump restores the row and not the oid';

create table df._role_oids (
    role regrole primary key,
    was oid not null
);
insert into df._role_oids (role, was) select r.role, r.role::oid from df._roles r;
comment on table df._role_oids is
    'the number of each role that has a runner: runners and instances name roles by number, a dump restores role by name';
