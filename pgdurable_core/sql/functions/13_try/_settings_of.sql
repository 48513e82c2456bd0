-- _settings_of: what a start would capture of a role's settings, for somebody who may not read df._engine.
--
-- SECURITY DEFINER, and runs nobody's text: everybody may read pg_db_role_setting, and the defaults are no secret.
create or replace function df._settings_of(p_role regrole) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select df._role_settings(p_role) $$;
