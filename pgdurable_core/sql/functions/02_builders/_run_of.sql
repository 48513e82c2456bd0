-- _run_of: a builder's text, or SQL text, as the run object of the graph document.
--
-- Raises  PD400 for a node this engine has no step for.
create or replace function df._run_of(p_run text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    v jsonb;
    v_type text;
begin
    if p_run is null then
        return '{"kind": "empty"}';
    end if;
    if p_run ~ '^\s*\{' then
        begin
            v := p_run::jsonb;
        exception when others then
            v := null;
        end;
    end if;
    if v is null or jsonb_typeof(v) <> 'object' or jsonb_typeof(v -> 'node_type') is distinct from 'string' then
        return jsonb_build_object('kind', 'sql', 'sql', df._trim_newlines(p_run));
    end if;
    v_type := v ->> 'node_type';
    case v_type
        when 'SQL', 'CHECK', 'BRANCH' then
            return jsonb_build_object('kind', lower(v_type), 'sql', v ->> 'query');
        when 'PYTHON', 'SHELL' then
            return jsonb_build_object('kind', lower(v_type)) || (v ->> 'query')::jsonb;
        else
            raise exception 'df.step: this version has no step for node type %', v_type
                using errcode = 'PD501', hint = 'Known: SQL, CHECK, BRANCH, PYTHON, SHELL; leave run out for an empty step.';
    end case;
end
$$;
