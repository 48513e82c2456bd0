-- _arrive_at_leaves: arrivals at a spread join; what its root row hears of them.
--
-- A leaf counts successes until all that it can still get are there and then reports once. Anything
-- else goes to the root at once and lowers what the leaf waits for, so that early rules stay early.
--
-- Locks   leaf rows in ascending order.
create or replace function df._arrive_at_leaves(p_instance text, p_scope bigint, p_step integer, p_n integer, p_shards integer,
    p_ords integer[], p_oks boolean[], p_vector integer[]) returns integer[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v integer[] := p_vector;
    r record;
    l record;
begin
    v[1] := 0;
    for r in
        select (o.ord % p_shards) + 1 as shard, count(*) filter (where o.ok)::integer as oks, count(*) filter (where not o.ok)::integer as others
        from unnest(p_ords, p_oks) o(ord, ok) group by 1 order by 1
    loop
        insert into df._joins as t (instance_id, scope_id, step, shard, n, s)
        values (p_instance, p_scope, p_step, r.shard, (p_n - r.shard + p_shards) / p_shards - r.others, r.oks)
        on conflict (instance_id, scope_id, step, shard) do update set s = t.s + r.oks, n = t.n - r.others
        returning t.n, t.s into l;
        if l.s >= l.n then
            v[1] := v[1] + l.s;
        end if;
    end loop;
    return v;
end
$$;
