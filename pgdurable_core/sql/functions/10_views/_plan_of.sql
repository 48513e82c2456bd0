-- _plan_of: kind, class and rule of one step of a workflow's current plan (of a map: of its body).
create or replace function df._plan_of(p_namespace text, p_name text, p_key text) returns table (kind text, statement_class text, rule text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select p.kind, p.statement_class, p.rule from df._workflows w
    join df._workflow_versions v on v.workflow_id = w.workflow_id and v.version = w.version
    join df._plan_steps p on p.plan_id = v.plan_id and p.key = p_key and p.kind not in ('map', 'gather')
    where w.namespace = p_namespace and w.name = p_name
$$;
