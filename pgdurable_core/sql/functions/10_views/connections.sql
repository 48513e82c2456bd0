create or replace view df.connections with (security_barrier) as
select c.namespace, c.name, c.kind, c.role, c.login, c.updated_by, c.updated_at from df._connections c;
comment on view df.connections is 'where connection names point; references only, no secrets';
