create or replace view df.connections with (security_barrier) as
select c.namespace, c.name, c.kind, c.role, c.login, c.updated_by, c.updated_at from df._connections c cross join df._reader r where r.sees_all or c.owner = r.role;
comment on view df.connections is 'where connection names point; references only, no secrets';
