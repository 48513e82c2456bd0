-- _held: whether this very session holds the claim on a step.
create or replace function df._held(p_instance text, p_scope bigint, p_step integer, p_token bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
    return exists (
        select from df._steps t
        join df._sessions se on se.session_id = t.holder and se.pid = pg_backend_pid() and se.login = session_user
        where t.instance_id = p_instance and t.scope_id = p_scope and t.step = p_step and t.seq = p_token);
end
$$;
