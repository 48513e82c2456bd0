-- _map_items: which scopes a mapped step opened, in instances the reading role has a part in.
create or replace view df._map_items with (security_barrier) as
select sc.instance_id, sc.scope_id, sc.step, sc.map_index
from df._scopes sc
where exists (select from df._instances i join df._plans pl on pl.plan_id = i.plan_id
    where i.instance_id = sc.instance_id and (i.submitted_by = df._me() or df._me() = any(pl.roles)
        or exists (select from df._connections n where n.role = df._me() and n.namespace = i.namespace)));
