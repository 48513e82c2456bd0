-- The engine's surface for workers over a list of claims that a test writes, so that a test decides what is
-- claimed, what is stopped, and whom the server has forgotten.
create schema df;
create table df._engine (only_row boolean);
create table df.seen (at timestamptz not null default clock_timestamp(), what text not null, detail text);
create table df.workers (worker_id bigint generated always as identity, lease interval, is_known boolean default true);
create table df.queue (
    token bigint generated always as identity primary key,
    lane text not null,
    fields jsonb not null,
    worker_id bigint,
    state text not null default 'ready',
    result json,
    error jsonb,
    stop text
);
create table df.sleepers (worker_id bigint primary key, lanes text[]);
create table df.logs (token bigint, stream text, line text);
create table df.modules (name text, sha256 text, content text);

create procedure df.work(
    max_seconds numeric, idle_seconds numeric, worker bigint, inout pos text default null, inout done bigint default 0
)
language plpgsql as $$
begin
    update df.queue q set state = 'completed', worker_id = worker
    where q.token = (select x.token from df.queue x where x.lane = 'sql' and x.state = 'ready' limit 1 for update skip locked);
    get diagnostics done = row_count;
    pos := coalesce(pos::int, 0) + done;
end $$;

create function df.has_work(pos text) returns boolean language sql as
    $$ select exists (select from df.queue where lane = 'sql' and state = 'ready') $$;
create function df.next_due() returns timestamptz language sql as $$ select null::timestamptz $$;
create procedure df.tick() language sql as $$ select 1 $$;
create function df.signal_stops() returns int language sql as $$ select 0 $$;
create function df.stopped(worker bigint) returns table (token bigint, reason text) language sql as
    $$ select q.token, q.stop from df.queue q where q.worker_id = worker and q.state = 'running' and q.stop is not null $$;

create function df.register_worker(name text, host text, pid int, version text, lease interval) returns bigint language sql as
    $$ insert into df.seen (what, detail) values ('register', name);
       insert into df.workers (lease) values (lease) returning worker_id $$;
create function df.beat(worker bigint) returns timestamptz language sql as
    $$ select clock_timestamp() + w.lease from df.workers w where w.worker_id = worker and w.is_known $$;
create function df.unregister_worker(worker bigint) returns void language sql as
    $$ insert into df.seen (what, detail) values ('unregister', worker::text);
       update df.queue q set state = 'ready', worker_id = null where q.worker_id = worker and q.state = 'running' $$;
create function df.sleep_worker(worker bigint, lanes text[]) returns void language sql as
    $$ insert into df.sleepers values (worker, lanes) on conflict (worker_id) do update set lanes = excluded.lanes $$;
create function df.wake_worker(worker bigint) returns void language sql as
    $$ delete from df.sleepers where worker_id = worker $$;

create function df.claim_step(worker bigint, lanes text[]) returns jsonb language sql as
    $$ update df.queue q set state = 'running', worker_id = worker
       where q.token = (select x.token from df.queue x where x.lane = any(lanes) and x.state = 'ready'
                        order by x.token limit 1 for update skip locked)
       returning q.fields || jsonb_build_object('instance_id', '0123456789ab', 'scope_id', 0, 'step', 1, 'token', q.token,
           'key', 'load', 'kind', q.lane, 'idempotency_key', 'k' || q.token, 'attempt', 1) $$;
create function df.held(p_token bigint) returns void language plpgsql as $$
begin
    if not exists (select from df.queue q where q.token = p_token and q.state <> 'ready') then
        raise exception 'the claim is lost' using errcode = 'PD409';
    end if;
end $$;
create function df.complete_step(i text, s bigint, n int, t bigint, result json, row_count bigint) returns text language sql as
    $$ select df.held(t); update df.queue q set state = 'completed', result = complete_step.result where q.token = t;
       select 'completed' $$;
create function df.fail_step(i text, s bigint, n int, t bigint, error jsonb, retryable boolean) returns text language sql as
    $$ select df.held(t); update df.queue q set state = 'failed', error = fail_step.error where q.token = t; select 'failed' $$;
create function df.skip_step(i text, s bigint, n int, t bigint, reason text) returns text language sql as
    $$ select df.held(t); update df.queue q set state = 'skipped' where q.token = t; select 'skipped' $$;
create function df.log(i text, s bigint, n int, t bigint, stream text, lines text[]) returns void language sql as
    $$ insert into df.logs select t, stream, line from unnest(lines) with ordinality x (line, pos) order by pos $$;
create function df.get_module(name text, sha256 text) returns text language sql as
    $$ select m.content from df.modules m where m.name = get_module.name and m.sha256 = get_module.sha256 $$;
