-- _purge_answer: what a call of df.purge tells its caller: what went, and whether that was all.
create or replace function df._purge_answer(p_state text) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('instances', coalesce(s -> 'instances', '0'), 'run_keys', coalesce(s -> 'run_keys', '0'),
        'versions', coalesce(s -> 'versions', '0'), 'plans', coalesce(s -> 'plans', '0'), 'modules', coalesce(s -> 'modules', '0'),
        'is_over', s ? 'over')
    from (select p_state::jsonb as s) x
$$;
