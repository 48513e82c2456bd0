create or replace function df.revoke_usage(p_role text) returns void
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
        raise exception 'only the owner of schema df revokes its use' using errcode = 'PD403';
    end if;
    if v_role = df._me() then
        raise exception 'the owner of df cannot lose its use' using errcode = 'PD403';
    end if;
    execute format('revoke all on all functions in schema df from %s', v_role::text);
    execute format('revoke all on all procedures in schema df from %s', v_role::text);
    execute format('revoke all on all tables in schema df from %s', v_role::text);
    execute format('revoke usage on schema df, df_runners from %s', v_role::text);
    execute format('drop function if exists df_runners.run_%s(text, bigint, integer, bigint)', v_role::oid);
    delete from df._worker_roles w where w.role = v_role or w.worker = v_role;
    delete from df._roles r where r.role = v_role;
    delete from df._role_oids o where o.role = v_role;
    raise notice 'revoked df usage privileges from "%"', p_role;
end
$$;
comment on function df.revoke_usage(text) is 'take df from a role, its runner included; its instances stay';
