create or replace function df.shell(command text, env jsonb default null, append_env boolean default false,
    cwd text default null) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(command, '') = '' then
        raise exception 'df.shell: the command is empty' using errcode = 'PD400';
    end if;
    return df._builder('SHELL', json_strip_nulls(json_build_object('command', command, 'env', env,
        'append_env', nullif(append_env, false), 'cwd', cwd))::text);
end
$$;
comment on function df.shell(text, jsonb, boolean, text) is 'a Bash command, run by a worker in a fresh folder; exit code 99 skips the step';
