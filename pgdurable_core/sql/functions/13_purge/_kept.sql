-- _kept: how long what is finished of a workflow is kept, and its run keys: the most specific row that says so.
--
-- Null for ever; run keys have the engine's default.
create or replace function df._kept(p_workflow bigint, out keep interval, out keep_keys interval)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with said as (
        select r.keep, r.keep_keys, (r.workflow <> '')::integer * 2 + (r.namespace <> '')::integer as rank
        from df._workflows w join df._retention r on r.namespace in ('', w.namespace) and r.workflow in ('', w.name)
        where w.workflow_id = p_workflow
    )
    select (select s.keep from said s where s.keep is not null order by s.rank desc limit 1),
        coalesce((select s.keep_keys from said s where s.keep_keys is not null order by s.rank desc limit 1),
            (select e.retain_run_keys from df._engine e))
$$;
