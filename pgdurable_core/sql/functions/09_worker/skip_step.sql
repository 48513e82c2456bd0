create or replace function df.skip_step(instance_id text, scope_id bigint, step integer, token bigint, reason text default null) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df._own_worker((select s.worker_id from df._steps s where s.instance_id = $1 and s.scope_id = $2 and s.step = $3 and s.seq = $4 and s.state = 'running'
        union all select -1 limit 1));
    perform df._finish_step($1, $2, $3, $4, 'skipped', null, null, null, $5, null);
    perform df._end_stop($4);
    return 'skipped';
exception when sqlstate 'PD404' then
    raise exception 'the claim on step % of instance % is lost', $3, $1 using errcode = 'PD409';
end
$$;
comment on function df.skip_step(text, bigint, integer, bigint, text) is 'record that a claimed step skipped itself';
