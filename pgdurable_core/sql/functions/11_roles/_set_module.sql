create or replace function df._set_module(p_caller regrole, p_args jsonb) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    v_sha text := encode(sha256(convert_to(p_args ->> 'content', 'UTF8')), 'hex');
begin
    if p_args ->> 'name' !~ '^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$' then
        raise exception '% is no module name', quote_literal(p_args ->> 'name') using errcode = 'PD400';
    end if;
    if p_caller <> (select n.nspowner from pg_namespace n where n.nspname = 'df')
        and not exists (select from df._roles r where r.role = p_caller and r.may_write_modules) then
        raise exception '% may not store modules: they run on the workers', p_caller using errcode = 'PD403',
            hint = 'The owner of df grants it: update df._roles set may_write_modules = true where role = ...';
    end if;
    if octet_length(p_args ->> 'content') > 4194304 then
        raise exception 'module % is larger than 4 MiB', p_args ->> 'name' using errcode = 'PD413';
    end if;
    insert into df._modules as m (name, sha256, content, created_by) values (p_args ->> 'name', v_sha, p_args ->> 'content', p_caller)
    on conflict (name, sha256) do update set unused_since = null where m.unused_since is not null;
    return v_sha;
end
$$;
