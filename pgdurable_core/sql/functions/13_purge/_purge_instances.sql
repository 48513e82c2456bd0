-- _purge_instances: let finished instances of one workflow go, in the order in which they ended: one transaction's share.
--
-- Begins behind (p_at, p_id), so that what earlier transactions removed is not walked over again while an old snapshot
-- keeps it. What cannot go now is passed by. An instance with more rows than a transaction removes goes alone: its own
-- row at once, the others by way of _purging.
--
-- Locks   finished instance rows for update, and open step rows of cancelled ones (both skip locked): see Lock order.
create or replace function df._purge_instances(p_workflow bigint, p_before timestamptz, p_batch integer,
    inout p_at timestamptz, inout p_id text, out gone integer, out is_over boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    c_rows constant integer := 20000;
    r record;
    v_gone text[] := '{}';
    v_seen integer := 0;
    v_rows integer := 0;
    v_size integer;
    v_open integer;
    v_had integer;
begin
    is_over := true;
    for r in
        select i.instance_id, i.finished_at from df._instances i
        where i.workflow_id = p_workflow and i.finished_at is not null and i.finished_at < p_before
          and (i.finished_at, i.instance_id) > (p_at, p_id)
          and not exists (select from df._commands c where c.instance_id = i.instance_id)       -- left to who obeys them
        order by i.finished_at, i.instance_id limit p_batch
        for update skip locked
    loop
        v_seen := v_seen + 1;
        -- statements after the one that locked: they see what was committed under a lock that it met
        select 1 + (select count(*) from (select from df._steps s where s.instance_id = r.instance_id limit c_rows) x)
            + (select count(*) from (select from df._logs l where l.instance_id = r.instance_id limit c_rows) x)
            + (select count(*) from (select from df._attempts a where a.instance_id = r.instance_id limit c_rows) x)
        into v_size;
        if v_rows > 0 and v_rows + v_size > c_rows then
            is_over := false;
            exit;
        end if;
        p_at := r.finished_at;
        p_id := r.instance_id;
        continue when exists (select from df._commands c where c.instance_id = r.instance_id);
        select count(*) into v_open from df._steps s
        where s.instance_id = r.instance_id and s.state in ('ready', 'running', 'sleeping', 'retrying');
        if v_open > 0 then
            select count(*) into v_had from (select from df._steps s
                where s.instance_id = r.instance_id and s.state in ('ready', 'sleeping', 'retrying') for update skip locked) x;
            continue when v_had < v_open;
        end if;
        v_gone := v_gone || r.instance_id;
        v_rows := v_rows + v_size;
        if v_size > c_rows then
            insert into df._purging (instance_id) values (r.instance_id) on conflict do nothing;
            is_over := false;
            exit;
        end if;
    end loop;
    is_over := is_over and v_seen < p_batch;
    gone := cardinality(v_gone);
    if gone > 0 then
        update df._run_keys k set end_state = i.state, ended_at = i.finished_at
        from df._instances i
        where i.instance_id = any(v_gone) and k.workflow_id = i.workflow_id and k.run_key = i.run_key and k.instance_id = i.instance_id;
        delete from df._instances i where i.instance_id = any(v_gone);
        perform df._purge_rows(v_gone, case when v_size > c_rows and gone = 1 then c_rows else 2147483647 end);
    end if;
end
$$;
