create or replace function df.python(callable text, args jsonb default '{}', runtime text default 'python') returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
begin
    if callable is null or callable !~ '^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$' then
        raise exception 'df.python: % is not module:name', coalesce(quote_literal(callable), 'null')
            using errcode = 'PD400', hint = 'Write df.python(''package.module:function'', ''{"argument": 1}'').';
    end if;
    if runtime not in ('python', 'airflow') then
        raise exception 'df.python: runtime is python or airflow, not %', runtime using errcode = 'PD400';
    end if;
    return df._builder('PYTHON', json_build_object('callable', callable, 'args', coalesce(args, '{}'), 'runtime', runtime)::text);
end
$$;
comment on function df.python(text, jsonb, text) is 'a Python callable, run by a worker from the module whose hash the workflow pins';
