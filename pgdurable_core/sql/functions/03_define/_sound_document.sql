-- _sound_document: what is left of a document that _check_document refused, for _compile_plan to go on with.
--
-- A step that is wrong in itself becomes an empty one, so that others still find it; names of steps that are not there
-- are left out. Null when there is nothing to go on with.
create or replace function df._sound_document(p_document jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    c_whole constant jsonb := '{"pgdurable_graph": 1, "name": "w", "steps": [{"key": "a"}]}';
    v_defaults constant jsonb := jsonb_build_object('defaults', coalesce(p_document -> 'defaults', '{}'));
    v_keys text[];
    v_steps jsonb;
begin
    if p_document -> 'pgdurable_graph' is distinct from '1' or jsonb_typeof(p_document -> 'steps') is distinct from 'array'
        or jsonb_array_length(p_document -> 'steps') > 100000 then
        return null;
    end if;
    v_keys := array(select distinct s.v ->> 'key' from jsonb_array_elements(p_document -> 'steps') s(v)
        where jsonb_typeof(s.v) = 'object' and s.v ->> 'key' is not null);
    select jsonb_agg(case when df._check_document(c_whole || jsonb_build_object('steps', jsonb_build_array(s.v - '{after,each}'::text[]))) = '{}'
            then s.v else jsonb_build_object('key', s.v -> 'key') end - '{after,each}'::text[]
        || jsonb_build_object('after', (select coalesce(jsonb_agg(u.key), '[]') from jsonb_array_elements_text(
            case jsonb_typeof(s.v -> 'after') when 'array' then s.v -> 'after' else '[]' end) u(key) where u.key = any(v_keys)))
        || case when s.v ->> 'each' = any(v_keys) then jsonb_build_object('each', s.v -> 'each') else '{}' end order by s.pos)
    into v_steps
    from jsonb_array_elements(p_document -> 'steps') with ordinality s(v, pos)
    where jsonb_typeof(s.v) = 'object' and s.v ->> 'key' is not null;
    if v_steps is null then
        return null;
    end if;
    return c_whole || jsonb_build_object('name', p_document -> 'name', 'steps', v_steps)
        || case when df._check_document(c_whole || v_defaults) = '{}' then v_defaults else '{}' end;
end
$$;
