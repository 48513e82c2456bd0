-- _make_runner: the function that runs a role's steps: owned by the role, definer, bound to df._run_as when made.
--
-- Its body is SQL-standard and bound at creation, so nothing the owner sets on it later changes what it
-- calls; df._run_as itself compares the role with the claim. Works for roles the caller may SET to.
create or replace function df._make_runner(p_role regrole) returns oid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text := format('df_runners.run_%s', p_role::oid);
    v_role text := p_role::text;
begin
    execute format('drop function if exists %s(text, bigint, integer, bigint)', v_name);
    execute format('create function %s(p_instance text, p_scope bigint, p_step integer, p_token bigint, out result json, out row_count bigint) '
        'language sql security definer begin atomic select r.result, r.row_count from df._run_as(p_instance, p_scope, p_step, p_token) r; end', v_name);
    execute format('revoke all on function %s(text, bigint, integer, bigint) from public', v_name);
    execute format('comment on function %s(text, bigint, integer, bigint) is ''runs the steps of %s''', v_name, replace(v_role, '''', ''''''));
    if p_role <> df._me() then
        execute format('grant create on schema df_runners to %s', v_role);
        execute format('alter function %s(text, bigint, integer, bigint) owner to %s', v_name, v_role);
        execute format('revoke create on schema df_runners from %s', v_role);
    end if;
    execute format('grant execute on function %s(text, bigint, integer, bigint) to %s', v_name, quote_ident(current_user));
    return to_regprocedure(v_name || '(text, bigint, integer, bigint)')::oid;
exception when insufficient_privilege then
    raise exception 'the runner of % cannot be made: %', v_role, sqlerrm using errcode = 'PD403',
        hint = format('The owner of df needs SET on the role: grant %s to %s (PostgreSQL 16: with set true).', v_role, current_user);
end
$$;
