-- _job: what a runner needs of one claimed step, by its key alone: a plan made while the tables were small must not
-- outlive that, and the settings for it must not reach the step's own text.
--
-- SECURITY INVOKER: df._jobs shows a role its own. All null when there is nothing for it.
create or replace function df._job(p_instance text, p_scope bigint, p_step integer, p_token bigint, out texts text[], out modes text,
    out has_names boolean, out settings jsonb, out has_more boolean, out max_result_rows integer, out max_result_bytes bigint, out is_open boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
    select x.texts, x.modes, x.parts is not null, x.settings, x.settings ? 'more', x.max_result_rows, x.max_result_bytes, x.is_open
    into texts, modes, has_names, settings, has_more, max_result_rows, max_result_bytes, is_open
    from df._jobs x
    where x.instance_id = p_instance and x.scope_id = p_scope and x.step = p_step and x.token = p_token;
end
$$;
