-- _miscounted: what an ended instance's joins counted, against the states of their upstreams; null when they agree.
--
-- For one instance, so that every look is one by key, and what meets in memory can be hashed.
create or replace function df._miscounted(p_instance text, p_plan bigint) returns text
language sql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set jit = off
as $$
    with top as (
        select p.step, p.key, p.kind, p.n, p.upstream, s.state from df._plan_steps p
        left join df._steps s on s.instance_id = p_instance and s.scope_id = 0 and s.step = p.step
        where p.plan_id = p_plan and p.parent is null and p.kind <> 'start'
    ), items as (
        select c.step + 2 as gather, b.state from df._scopes c
        join df._steps b on b.instance_id = p_instance and b.scope_id = c.scope_id and b.step = c.step + 1
        where c.instance_id = p_instance
    ), opened as (
        select distinct m.gather from items m
    ), brought as (     -- what a step that ended brings to whatever is behind it
        select t.step, t.state from top t left join opened o on o.gather = t.step where t.state is not null and o.gather is null
        union all
        select m.gather, m.state from items m
    ), arrived as (
        select u.step, b.state
        from (select t.step, unnest(t.upstream) as up from top t left join opened o on o.gather = t.step where t.kind <> 'end' and o.gather is null) u
        join brought b on b.step = u.up
        union all
        select m.gather, m.state from items m
    ), expected as (
        select a.step, count(*) as n, count(*) filter (where a.state = 'completed') as s, count(*) filter (where a.state = 'failed') as f,
            count(*) filter (where a.state = 'skipped') as k, count(*) filter (where a.state = 'upstream_failed') as u, count(*) filter (where a.state = 'removed') as r
        from arrived a group by a.step
    )
    select string_agg(x.why, '; ')
    from (
        select format('%s counted %s of %s, its upstreams are %s of %s', t.key, array[j.s, j.f, j.k, j.u, j.r], j.n, array[e.s, e.f, e.k, e.u, e.r], coalesce(e.n, 0)) as why
        from df._joins j join top t on t.step = j.step and t.kind <> 'end' left join expected e on e.step = j.step
        where j.instance_id = p_instance and j.scope_id = 0 and j.shard = 0 and (j.s, j.f, j.k, j.u, j.r, j.n) is distinct from (e.s, e.f, e.k, e.u, e.r, e.n)
        union all
        select format('the end counted %s of %s', j.s + j.f, j.n) from df._joins j join top t on t.step = j.step and t.kind = 'end'
        where j.instance_id = p_instance and j.scope_id = 0 and j.shard = 0 and (j.s + j.f <> j.n or j.n < t.n or j.k + j.u + j.r <> 0)
        union all
        select format('%s has ended and holds %s in state %s', p_instance, count(*), s.state) from df._steps s
        where s.instance_id = p_instance and s.state in ('waiting', 'ready', 'running', 'sleeping', 'retrying') group by s.state
        limit 3
    ) x
$$;
