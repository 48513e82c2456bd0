-- _scope_of: the scope in which what follows a step lives: its own, or for a map's body the parent's.
create or replace function df._scope_of(p_instance text, p_scope bigint, p_step integer, p_plan bigint) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when p.parent is null then p_scope else (select sc.parent_scope_id from df._scopes sc
        where sc.instance_id = p_instance and sc.scope_id = p_scope) end
    from df._plan_steps p where p.plan_id = p_plan and p.step = p_step
$$;
