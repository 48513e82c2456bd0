-- _check_params: given values over declared defaults, each checked against its JSON Schema.
--
-- Checked: type, enum, const, minimum, maximum, exclusiveMinimum/Maximum, minLength, maxLength, pattern.
-- Raises  PD400 naming the parameter.
create or replace function df._check_params(p_schemas jsonb, p_given jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_out jsonb := coalesce(p_given, '{}');
    r record;
    v jsonb;
    v_types jsonb;
    v_type text;
    v_problem text;
begin
    if jsonb_typeof(v_out) <> 'object' then
        raise exception 'params is not an object' using errcode = 'PD400';
    end if;
    for r in select p.name, p.schema from jsonb_each(coalesce(p_schemas, '{}')) p(name, schema) loop
        if not v_out ? r.name then
            if not r.schema ? 'default' then
                raise exception 'param % is required', r.name using errcode = 'PD400', hint = format('Pass params => ''{"%s": ...}''.', r.name);
            end if;
            v_out := v_out || jsonb_build_object(r.name, r.schema -> 'default');
        end if;
        v := v_out -> r.name;
        v_problem := null;
        v_type := jsonb_typeof(v);
        if r.schema ? 'type' then
            v_types := case jsonb_typeof(r.schema -> 'type') when 'array' then r.schema -> 'type' else jsonb_build_array(r.schema -> 'type') end;
            if not (v_types ? v_type or (v_types ? 'integer' and v_type = 'number' and (v #>> '{}')::numeric % 1 = 0)) then
                v_problem := 'is not of type ' || array_to_string(array(select jsonb_array_elements_text(v_types)), ' or ');
            end if;
        end if;
        if v_problem is null and r.schema ? 'enum' and not r.schema -> 'enum' @> jsonb_build_array(v) then
            v_problem := 'is none of ' || (r.schema ->> 'enum');
        elsif v_problem is null and r.schema ? 'const' and r.schema -> 'const' <> v then
            v_problem := 'is not ' || (r.schema ->> 'const');
        elsif v_problem is null and v_type = 'number' and (
            (v #>> '{}')::numeric < (r.schema ->> 'minimum')::numeric or (v #>> '{}')::numeric > (r.schema ->> 'maximum')::numeric
            or (v #>> '{}')::numeric <= (r.schema ->> 'exclusiveMinimum')::numeric or (v #>> '{}')::numeric >= (r.schema ->> 'exclusiveMaximum')::numeric) then
            v_problem := 'is out of range';
        elsif v_problem is null and v_type = 'string' and (
            length(v #>> '{}') < (r.schema ->> 'minLength')::integer or length(v #>> '{}') > (r.schema ->> 'maxLength')::integer) then
            v_problem := 'is too short or too long';
        elsif v_problem is null and v_type = 'string' and (v #>> '{}') !~ (r.schema ->> 'pattern') then
            v_problem := 'does not match ' || (r.schema ->> 'pattern');
        end if;
        if v_problem is not null then
            raise exception 'param %: % %', r.name, v, v_problem using errcode = 'PD400';
        end if;
    end loop;
    return v_out;
end
$$;
