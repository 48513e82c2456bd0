create or replace function df.grant_usage(p_role text, include_http boolean default false, with_grant boolean default false) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role regrole := to_regrole(quote_ident(p_role));
    f record;
begin
    if v_role is null then
        raise exception 'there is no role %', p_role using errcode = 'PD404';
    end if;
    if include_http or with_grant then
        raise exception 'this version has no HTTP steps and no delegation of grants' using errcode = 'PD501';
    end if;
    if df._me() <> (select n.nspowner from pg_namespace n where n.nspname = 'df') then
        raise exception 'only the owner of schema df grants its use' using errcode = 'PD403';
    end if;
    perform df._make_runner(v_role);
    insert into df._roles as r (role, is_user) values (v_role, true) on conflict (role) do update set is_user = true;
    perform df._grant_surface(v_role::text);
    update df._engine e set epoch = e.epoch + 1;
    raise notice 'granted df usage privileges to "%"', p_role;
end
$$;
comment on function df.grant_usage(text, boolean, boolean) is 'let a role define and start workflows and have its steps run; makes its runner';
