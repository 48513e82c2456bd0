-- _finish: checkpoint a step that succeeded, the short way where success leads to one step, else the long one.
--
-- Returns a plain step to follow, or null. Locks and raises as _finish_step.
create or replace function df._finish(w text[], p_result json, p_rows bigint, p_started timestamptz, p_forced integer[]) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if w[33] is not null and p_forced is null
        and df._finish_simple(w[15], w[16]::bigint, w[17]::integer, w[18]::bigint, w[29]::bigint, w[33]::integer, w[34]::smallint,
            p_result, p_rows, p_started, w[31] = 'pending' and w[30] = 'fast', w[42]::integer) then
        return case when w[33] <> '0' and w[34] = '1' then w[33]::integer end;
    end if;
    if w[31] = 'pending' and w[30] = 'fast' then
        perform df._mark_running(w[15], p_started);
    end if;
    return df._finish_step(w[15], w[16]::bigint, w[17]::integer, w[18]::bigint, 'completed', p_result, p_rows, null, null, p_started, p_forced);
end
$$;
