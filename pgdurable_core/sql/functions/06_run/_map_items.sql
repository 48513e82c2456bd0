-- _map_items: the items a mapped step opened, in instances that act as the reading role.
create or replace view df._map_items with (security_barrier) as
select sc.instance_id, sc.scope_id, sc.step, sc.map_index, sc.item
from df._scopes sc
join df._instances i on i.instance_id = sc.instance_id
where i.settings ? df._me()::oid::text;
