-- _vector: the arrival a terminal state brings: s f k u r.
create or replace function df._vector(p_state text) returns integer[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case p_state when 'completed' then '{1,0,0,0,0}' when 'failed' then '{0,1,0,0,0}' when 'skipped' then '{0,0,1,0,0}'
        when 'upstream_failed' then '{0,0,0,1,0}' when 'removed' then '{0,0,0,0,1}' when 'cancelled' then '{0,1,0,0,0}' end::integer[]
$$;
