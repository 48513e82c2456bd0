create or replace function df.grant_operator(p_role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role regrole := to_regrole(quote_ident(p_role));
begin
    if v_role is null then
        raise exception 'there is no role %', p_role using errcode = 'PD404';
    end if;
    if df._me() <> (select n.nspowner from pg_namespace n where n.nspname = 'df') then
        raise exception 'only the owner of schema df names operators' using errcode = 'PD403';
    end if;
    insert into df._roles as r (role, is_operator) values (v_role, true) on conflict (role) do update set is_operator = true;
    perform df._grant_surface(v_role::text);
end
$$;
comment on function df.grant_operator(text) is 'let a role see and act on everybody''s workflows and instances';
