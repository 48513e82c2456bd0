create or replace function df._set_connection(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role regrole;
    v_owner regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'df');
begin
    if p_caller <> v_owner and not exists (select from df._roles r where r.role = p_caller and (r.is_operator or r.is_user)) then
        raise exception '% may not set connections', p_caller using errcode = 'PD403';
    end if;
    if coalesce(p_args ->> 'kind', 'here') <> 'here' then
        raise exception 'this version runs SQL in its own database only; connection % cannot point elsewhere', p_args ->> 'name' using errcode = 'PD501';
    end if;
    if p_args ->> 'role' is not null then
        v_role := to_regrole(quote_ident(p_args ->> 'role'));
        if v_role is null then
            raise exception 'there is no role %', p_args ->> 'role' using errcode = 'PD404';
        end if;
        if not df._may_be(p_caller, v_role) then
            raise exception '% is no member of %', p_caller, v_role using errcode = 'PD403';
        end if;
    end if;
    if p_args ->> 'login' is not null and p_caller <> v_owner then
        raise exception 'only the owner of df says how workers log in: a reference can be a command' using errcode = 'PD403';
    end if;
    insert into df._connections as c (namespace, name, kind, role, login, owner, updated_by)
    values (coalesce(p_args ->> 'namespace', 'default'), p_args ->> 'name', 'here', v_role, p_args ->> 'login', p_caller, p_args ->> 'actor')
    on conflict (namespace, name) do update set role = excluded.role, login = excluded.login, updated_by = excluded.updated_by, updated_at = clock_timestamp()
    where p_caller = v_owner or c.owner = p_caller or (c.role is not distinct from excluded.role and c.login is not distinct from excluded.login);
    if not found then
        raise exception 'connection % was set by another role', p_args ->> 'name' using errcode = 'PD403';
    end if;
    return p_args ->> 'name';
end
$$;
