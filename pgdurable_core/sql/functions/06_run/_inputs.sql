-- _inputs: results that the reading role's steps may refer to: those of instances that act as it.
create or replace view df._inputs with (security_barrier) as
select s.instance_id, s.scope_id, s.step, s.state, s.result
from df._steps s
join df._instances i on i.instance_id = s.instance_id
where i.settings ? df._me()::oid::text;
