create or replace function df.skip_step(instance_id text, scope_id bigint, step integer, token bigint, reason text default null) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df._own_claim(quote_ident(session_user)::regrole, $1, $2, $3, $4);
    if df._finish_step($1, $2, $3, $4, 'skipped', null, null, null, $5, null) is not null then
        perform df._wake('{1}', true);
    end if;
    perform df._end_stop($4);
    return 'skipped';
end
$$;
comment on function df.skip_step(text, bigint, integer, bigint, text) is 'record that a claimed step skipped itself';
