-- _make_runner: the function that runs a role's steps: owned by the role, definer, one qualified call of df._run_as.
--
-- Its owner may not replace it (no CREATE on the schema); what ALTER FUNCTION can change, invoker rights and
-- settings, leads nowhere: df._run_as has settings of its own and shows a role only what is claimed for it.
create or replace function df._make_runner(p_role regrole) returns oid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text := format('df_runners.run_%s', p_role::oid);
    v_role text := p_role::text;
begin
    insert into df._role_oids (role, was) values (p_role, p_role::oid) on conflict do nothing;
    if df._runner(p_role) is not null then
        return df._runner(p_role);      -- made before; its workers keep their right to it
    end if;
    -- PL/pgSQL, not SQL: no second executor around every step; one qualified call leaves its owner nothing to turn
    execute format('create function %s(p_instance text, p_scope bigint, p_step integer, p_token bigint) returns df._outcome '
        'language plpgsql security definer set search_path = pg_catalog, pg_temp as '
        '$run$ begin return df._run_as(p_instance, p_scope, p_step, p_token); end $run$', v_name);
    execute format('revoke all on function %s(text, bigint, integer, bigint) from public', v_name);
    execute format('comment on function %s(text, bigint, integer, bigint) is ''runs the steps of %s''', v_name, replace(v_role, '''', ''''''));
    -- before it changes hands: the owner of df may be able to become the role without inheriting from it
    execute format('grant execute on function %s(text, bigint, integer, bigint) to %s', v_name, quote_ident(current_user));
    if p_role <> df._me() then
        execute format('grant create on schema df_runners to %s', v_role);
        execute format('alter function %s(text, bigint, integer, bigint) owner to %s', v_name, v_role);
        execute format('revoke create on schema df_runners from %s', v_role);
    end if;
    return to_regprocedure(v_name || '(text, bigint, integer, bigint)')::oid;
exception when insufficient_privilege then
    raise exception 'the runner of % cannot be made: %', v_role, sqlerrm using errcode = 'PD403',
        hint = format('The owner of df needs SET on the role: grant %s to %s (PostgreSQL 16: with set true).', v_role, current_user);
end
$$;
