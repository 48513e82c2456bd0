create or replace function df._set_variable(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into df._variables (namespace, name, value, updated_by)
    values (coalesce(p_args ->> 'namespace', 'default'), p_args ->> 'name', p_args ->> 'value', p_args ->> 'actor')
    on conflict (namespace, name) do update set value = excluded.value, updated_by = excluded.updated_by, updated_at = clock_timestamp();
    return p_args ->> 'name';
end
$$;
