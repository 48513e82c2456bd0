create or replace view df.retention with (security_barrier) as
select r.namespace, r.workflow, r.keep, r.keep_keys, r.set_by, r.set_at from df._retention r;
comment on view df.retention is 'how long what is finished is kept: for a workflow, a namespace (workflow empty) or all (both empty); no row: for ever';
