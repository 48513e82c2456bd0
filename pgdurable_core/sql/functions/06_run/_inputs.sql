-- _inputs: results that the reading role's steps may refer to: those of its own instances, and of
-- instances whose plan runs a step as it.
create or replace view df._inputs with (security_barrier) as
select s.instance_id, s.scope_id, s.step, s.state, s.result
from df._steps s
join df._instances i on i.instance_id = s.instance_id
join df._plans pl on pl.plan_id = i.plan_id
where i.submitted_by = df._me() or df._me() = any(pl.roles)
   or exists (select from df._connections n where n.role = df._me() and n.namespace = i.namespace);
