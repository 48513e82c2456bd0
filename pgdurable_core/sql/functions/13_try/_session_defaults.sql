-- _session_defaults: what a login has before roles and databases add theirs, for a role that asks what a start would
-- capture of its settings; everybody may read those in pg_db_role_setting.
create or replace view df._session_defaults as
select e.session_defaults from df._engine e;
