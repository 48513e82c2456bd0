-- _purgeable: what df.purge would remove now, as JSON rows for df.purgeable. At most: what is retried or still stops at
-- that moment stays. Versions and plans that only become free with the instances are not counted.
create or replace function df._purgeable(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    a jsonb;
    v_now constant timestamptz := df._now();
begin
    perform df._may_purge(p_caller);
    a := df._purge_asked(p_args);
    return (
        with asked as (
            select w.workflow_id, w.namespace, w.name, v_now - coalesce((a ->> 'older_than')::interval, k.keep) as before,
                v_now - coalesce((a ->> 'keep_keys')::interval, k.keep_keys) as keys_before
            from df._workflows w cross join lateral df._kept(w.workflow_id) k
            where (a ->> 'only' is null or w.workflow_id = (a ->> 'only')::bigint) and (a ->> 'namespace' is null or w.namespace = a ->> 'namespace')
        ), found as (
            select 'instances' as what, w.namespace, w.name, count(*) as n, min(i.finished_at) as oldest
            from asked w join df._instances i on i.workflow_id = w.workflow_id and i.finished_at < w.before group by 1, 2, 3
            union all
            select 'run_keys', w.namespace, w.name, count(*), min(k.ended_at)
            from asked w join df._run_keys k on k.workflow_id = w.workflow_id and k.ended_at < w.keys_before group by 1, 2, 3
        )
        select coalesce(jsonb_agg(jsonb_build_array(f.what, f.namespace, f.name, f.n, f.oldest) order by f.what, f.namespace, f.name), '[]')
        from found f);
end
$$;
