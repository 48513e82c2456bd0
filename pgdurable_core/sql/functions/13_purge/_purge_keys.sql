-- _purge_keys: forget run keys of one workflow whose instances were purged and ended before p_before; a start with such
-- a key starts anew from then on. Begins behind (p_at, p_key), as _purge_instances does.
--
-- Locks   the keys' rows (skip locked).
create or replace function df._purge_keys(p_workflow bigint, p_before timestamptz, p_batch integer,
    inout p_at timestamptz, inout p_key text, out gone integer, out is_over boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    r record;
begin
    gone := 0;
    for r in
        select k.run_key, k.ended_at from df._run_keys k
        where k.workflow_id = p_workflow and k.ended_at is not null and k.ended_at < p_before and (k.ended_at, k.run_key) > (p_at, p_key)
        order by k.ended_at, k.run_key limit p_batch
        for update skip locked
    loop
        gone := gone + 1;
        p_at := r.ended_at;
        p_key := r.run_key;
        delete from df._run_keys k where k.workflow_id = p_workflow and k.run_key = r.run_key;
    end loop;
    is_over := gone < p_batch;
end
$$;
