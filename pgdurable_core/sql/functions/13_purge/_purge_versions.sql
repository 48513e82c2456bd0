-- _purge_versions: remove versions of a workflow that were superseded before p_before and that no instance has.
--
-- A start that has read an old version as the current one, and has not committed yet, holds the advisory lock 0xDF02
-- shared; while this waits for it, later starts lock their version's row instead, so that it comes however many start.
-- Where one stays open nothing is removed this time. See Lock order.
--
-- Locks   the versions' rows (skip locked); 0xDF02 (for 100 ms at most).
create or replace function df._purge_versions(p_workflow bigint, p_before timestamptz) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_old integer[];
    v_used integer[];
    v_count integer;
begin
    v_old := array(
        select v.version from df._workflow_versions v
        where v.workflow_id = p_workflow
          and v.version < (select w.version from df._workflows w where w.workflow_id = p_workflow)
          and (select min(n.created_at) from df._workflow_versions n where n.workflow_id = p_workflow and n.version > v.version) < p_before
        order by v.version limit 1000
        for update skip locked);
    if v_old = '{}' then
        return 0;
    end if;
    begin
        perform pg_advisory_xact_lock(57090::bigint << 48);
    exception when lock_not_available then
        return 0;
    end;
    v_used := array(
        select distinct i.version from df._instances i where i.workflow_id = p_workflow and i.finished_at is not null
        union
        select distinct i.version from df._instances i where i.workflow_id = p_workflow and i.finished_at is null);
    delete from df._workflow_versions v where v.workflow_id = p_workflow and v.version = any(v_old) and not v.version = any(v_used);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
