-- _purge_rows: remove up to p_most rows that are keyed by these instances, whose own rows are gone in this transaction
-- or were before. Returns how many were removed: fewer than p_most, and nothing is left.
--
-- By ctid, so that no more than a transaction's share is read. Stop rows go with df.tick.
create or replace function df._purge_rows(p_instances text[], p_most integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_done integer := 0;
    v_count integer;
begin
    delete from df._logs x where x.ctid = any(array(select l.ctid from df._logs l where l.instance_id = any(p_instances) limit p_most));
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    delete from df._events x where x.ctid = any(array(select e.ctid from df._events e where e.instance_id = any(p_instances) limit p_most - v_done));
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    delete from df._attempts x where x.ctid = any(array(select a.ctid from df._attempts a where a.instance_id = any(p_instances) limit p_most - v_done));
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    delete from df._joins x where x.ctid = any(array(select j.ctid from df._joins j where j.instance_id = any(p_instances) limit p_most - v_done));
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    delete from df._scopes x where x.ctid = any(array(select s.ctid from df._scopes s where s.instance_id = any(p_instances) limit p_most - v_done));
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    delete from df._steps x where x.ctid = any(array(select s.ctid from df._steps s where s.instance_id = any(p_instances) limit p_most - v_done));
    get diagnostics v_count = row_count;
    return v_done + v_count;
end
$$;
