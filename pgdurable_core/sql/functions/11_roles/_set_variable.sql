create or replace function df._set_variable(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'df');
begin
    if p_caller <> v_owner and not exists (select from df._roles r where r.role = p_caller and r.is_user) then
        raise exception '% may not set variables', p_caller using errcode = 'PD403';
    end if;
    insert into df._variables as v (namespace, name, value, owner, updated_by)
    values (coalesce(p_args ->> 'namespace', 'default'), p_args ->> 'name', p_args ->> 'value', p_caller, p_args ->> 'actor')
    on conflict (namespace, name) do update set value = excluded.value, updated_by = excluded.updated_by, updated_at = clock_timestamp()
    where p_caller = v_owner or v.owner = p_caller;
    if not found then
        raise exception 'variable % belongs to another role', p_args ->> 'name' using errcode = 'PD403';
    end if;
    return p_args ->> 'name';
end
$$;
