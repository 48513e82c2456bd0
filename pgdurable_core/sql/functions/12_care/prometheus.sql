-- prometheus: the engine's gauges as Prometheus text (exposition format 0.0.4). For the owner of df, operators and
-- worker logins, whose endpoint shows it beside their own. Reads, assigns no transaction id; counts end at 100,000.
create or replace function df.prometheus() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    v_lines text[];
begin
    perform pg_stat_clear_snapshot();
    with ready as (
        select s.lane, s.ready_at from df._steps s where s.state = 'ready' limit 100000
    ), lanes as (
        select l.name, count(r.lane) as waiting, coalesce(extract(epoch from clock_timestamp() - min(r.ready_at)), 0) as age
        from df._lanes l left join ready r on r.lane = l.lane group by l.lane, l.name order by l.lane
    ), gauges (pos, name, help, label, value) as (
        select 1, 'pgdurable_queue_length', 'Steps that are ready to run, at most 100000 in all.', format('lane="%s"', l.name), l.waiting::numeric from lanes l
        union all
        select 2, 'pgdurable_queue_oldest_seconds', 'How long the oldest ready step has waited.', format('lane="%s"', l.name), greatest(l.age, 0) from lanes l
        union all
        select 3, 'pgdurable_steps_running', 'Steps whose claim is held, at most 100000.', null, (select count(*) from (select from df._steps s where s.state = 'running' limit 100000) x)
        union all
        select 4, 'pgdurable_timers', 'Steps that wait for a timer, at most 100000.', null, (select count(*) from (select from df._steps s where s.state in ('sleeping', 'retrying') limit 100000) x)
        union all
        select 5, 'pgdurable_timer_overdue_seconds', 'How long ago the first timer that nobody woke was over.', null,
            coalesce((select greatest(extract(epoch from df._now() - s.due_at), 0) from df._steps s where s.state in ('sleeping', 'retrying') order by s.due_at limit 1), 0)
        union all
        select 6, 'pgdurable_instances_open', 'Instances that are pending or running, at most 100000.', null,
            (select count(*) from (select from df._instances i where i.finished_at is null limit 100000) x)
        union all
        select 7, 'pgdurable_workers_alive', 'Workers whose lease holds.', null, (select count(*) from df._workers w where w.lease_until > clock_timestamp())
        union all
        select 8, 'pgdurable_worker_last_beat_seconds', 'Since when the freshest worker has been silent; absent without workers.', null,
            (select extract(epoch from clock_timestamp() - max(w.last_beat_at)) from df._workers w where w.lease_until > clock_timestamp())
        union all
        select 9, 'pgdurable_sessions', 'Sessions that hold or look for work.', null, (select count(*) from df._sessions)
        union all
        select 10, 'pgdurable_oldest_snapshot_xids', 'Transaction ids since the oldest snapshot of this database.', null,
            coalesce((select max(age(coalesce(a.backend_xmin, a.backend_xid))) from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()), 0)
        union all
        select 11, 'pgdurable_transaction_id', 'The next transaction id, epoch included; its rate is what steps use.', null, pg_snapshot_xmax(pg_current_snapshot())::text::numeric
        union all
        select 12, 'pgdurable_dead_rows', 'Dead rows, as the statistics have them.', format('table="%s"', t.relname), t.n_dead_tup
        from pg_stat_all_tables t where t.schemaname = 'df' and t.relname in ('_steps', '_instances', '_joins')
    ), written as (
        select g.pos, g.label, case when row_number() over (partition by g.pos order by g.label) = 1 then
                format(E'# HELP %s %s\n# TYPE %s %s\n', g.name, g.help, g.name, case when g.pos = 11 then 'counter' else 'gauge' end) else '' end
            || g.name || coalesce('{' || g.label || '}', '') || ' ' || trim_scale(round(g.value, 3)) as line
        from gauges g where g.value is not null
    )
    select array_agg(w.line order by w.pos, w.label) into v_lines from written w;
    return array_to_string(v_lines, E'\n') || E'\n';
end
$$;
comment on function df.prometheus() is 'queue, timers, workers, snapshots and transaction ids as Prometheus text; for the owner of df, operators and workers';
