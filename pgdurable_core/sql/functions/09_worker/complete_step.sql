create or replace function df.complete_step(instance_id text, scope_id bigint, step integer, token bigint, result json default null, row_count bigint default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- the result travels as text, so that column order and duplicate names survive
    return df._ask('complete', jsonb_build_object('instance_id', $1, 'scope_id', $2, 'step', $3, 'token', $4, 'result', $5::text, 'row_count', $6));
end
$$;
comment on function df.complete_step(text, bigint, integer, bigint, json, bigint) is 'record the result of a claimed step; with the same token it answers the same; PD409 when the claim is lost';
