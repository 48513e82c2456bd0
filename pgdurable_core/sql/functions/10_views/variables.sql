create or replace view df.variables with (security_barrier) as
select v.namespace, v.name, v.value, v.updated_by, v.updated_at from df._variables v cross join df._reader r where r.sees_all or v.owner = r.role;
comment on view df.variables is 'values read when a step runs, per namespace';
