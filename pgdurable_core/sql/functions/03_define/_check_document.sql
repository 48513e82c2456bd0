-- _check_document: every problem of a graph document that needs no compiling, one line each.
create or replace function df._check_document(p_document jsonb) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
    v_problems text[] := '{}';
    v_top constant text[] := '{pgdurable_graph,name,steps,schedule,timezone,start_date,end_date,data_intervals,catchup,max_active_runs,max_active_tasks,params,defaults,modules,on_failure,on_success,owner,doc,tags,groups}';
    v_step constant text[] := '{key,run,after,rule,each,bind,retries,retry_delay,timeout,pool,run_as,connection,class,result_name,source,doc}';
    v_rules constant text[] := '{all_success,all_failed,all_done,all_done_min_one_success,all_done_setup_success,one_success,one_failed,one_done,none_failed,none_failed_min_one_success,none_skipped,all_skipped,always}';
    v_broken boolean := false;
    v_place text;
    v_keys jsonb;
    r record;
begin
    if p_document -> 'pgdurable_graph' is distinct from '1' then
        return array[format('this engine reads graph documents of version 1, not %s', coalesce(p_document ->> 'pgdurable_graph', 'none'))];
    end if;
    if octet_length(p_document::text) > 67108864 then
        return array['the document is larger than 64 MiB'];
    end if;
    if coalesce(p_document ->> 'name', '') !~ '^[A-Za-z0-9_.-]{1,250}$' then
        v_problems := v_problems || format('the name %s is not 1 to 250 of A-Z a-z 0-9 _ . -', coalesce(quote_literal(p_document ->> 'name'), 'null'));
    end if;
    for r in select k from jsonb_object_keys(p_document) k where k <> all(v_top) loop
        v_problems := v_problems || format('unknown option %s', r.k);
    end loop;
    for r in select k from unnest('{params,defaults,modules}'::text[]) k where jsonb_typeof(p_document -> k) <> 'object' loop
        v_problems := v_problems || format('%s is no object', r.k);
        p_document := p_document - r.k;
    end loop;
    for r in select k from jsonb_object_keys(coalesce(p_document -> 'defaults', '{}')) k
        where k <> all('{retries,retry_delay,timeout,pool,run_as,connection}'::text[]) loop
        v_problems := v_problems || format('unknown option %s in defaults', r.k);
    end loop;
    if (p_document -> 'defaults' -> 'retries')::text !~ '^\d{1,9}$' then
        v_problems := v_problems || 'defaults: retries is no whole number'::text;
    end if;
    if p_document ->> 'timezone' is not null and not exists (
        select from pg_timezone_names z where z.name = p_document ->> 'timezone') then
        v_problems := v_problems || format('unknown timezone %s', p_document ->> 'timezone');
    end if;
    for r in select k, v from jsonb_each_text(coalesce(p_document -> 'modules', '{}')) as m(k, v) where coalesce(v, '') !~ '^sha256:[0-9a-f]{64}$' loop
        v_problems := v_problems || format('module %s: %s is not sha256: and 64 hex digits', r.k, coalesce(quote_literal(r.v), 'null'));
    end loop;
    for r in select k, v from jsonb_each(coalesce(p_document -> 'params', '{}')) as m(k, v) where jsonb_typeof(v) <> 'object' loop
        v_problems := v_problems || format('param %s: %s is no JSON Schema object', r.k, r.v);
    end loop;
    if jsonb_typeof(p_document -> 'steps') is distinct from 'array' or jsonb_array_length(p_document -> 'steps') = 0 then
        return v_problems || 'the workflow has no steps'::text;
    end if;
    if jsonb_array_length(p_document -> 'steps') > 100000 then
        return v_problems || format('%s steps are more than 100000', jsonb_array_length(p_document -> 'steps'));
    end if;
    for r in select s.v, s.v ->> 'key' as key, s.pos from jsonb_array_elements(p_document -> 'steps') with ordinality s(v, pos) loop
        if jsonb_typeof(r.v) <> 'object' then
            v_problems := v_problems || format('step %s is no object', r.pos);
            v_broken := true;
            continue;
        end if;
        if coalesce(r.key, '') !~ '^[A-Za-z0-9_.-]{1,250}$' then
            v_problems := v_problems || format('step %s: the key %s is not 1 to 250 of A-Z a-z 0-9 _ . -', r.pos, coalesce(quote_literal(r.key), 'null'));
        end if;
        v_place := format('step %s', coalesce(r.key, r.pos::text)) || coalesce(' (' || (r.v ->> 'source') || ')', '') || ': ';
        v_problems := v_problems || array(select v_place || 'unknown option ' || k from jsonb_object_keys(r.v) k where k <> all(v_step));
        if coalesce(r.v ->> 'rule', 'all_success') <> all(v_rules) then
            v_problems := v_problems || (v_place || 'unknown rule ' || (r.v ->> 'rule'));
        end if;
        if (r.v -> 'retries')::text !~ '^\d{1,9}$' then
            v_problems := v_problems || (v_place || 'retries is no whole number');
        end if;
        if jsonb_typeof(r.v -> 'bind') <> 'object' then
            v_problems := v_problems || (v_place || 'bind is no object');
        end if;
        if r.v ->> 'class' not in ('plain', 'session', 'autonomous') then
            v_problems := v_problems || (v_place || 'unknown class ' || (r.v ->> 'class'));
        end if;
        if jsonb_typeof(r.v -> 'after') <> 'array' or jsonb_path_exists(r.v -> 'after', 'strict $[*] ? (@.type() != "string")', silent => true) then
            v_problems := v_problems || (v_place || 'after is no list of keys');
            v_broken := true;
        end if;
        if r.v ->> 'result_name' !~ '^[A-Za-z_][A-Za-z0-9_]*$' or r.v ->> 'result_name' in ('params', 'item') then
            v_problems := v_problems || (v_place || format('the result name %s is no identifier, or taken', r.v ->> 'result_name'));
        end if;
        if jsonb_typeof(r.v -> 'run') <> 'object' then
            v_problems := v_problems || (v_place || 'run is no object');
        elsif coalesce(r.v -> 'run' ->> 'kind', case when r.v ? 'run' then 'null' else 'empty' end) not in ('sql', 'check', 'branch', 'python', 'shell', 'empty') then
            v_problems := v_problems || (v_place || 'unknown kind ' || coalesce(r.v -> 'run' ->> 'kind', 'null'));
        elsif r.v -> 'run' ->> 'kind' in ('sql', 'check', 'branch') and jsonb_typeof(r.v -> 'run' -> 'sql') is distinct from 'string' then
            v_problems := v_problems || (v_place || 'its sql is no text');
        elsif octet_length(r.v -> 'run' ->> 'sql') > 1048576 then
            v_problems := v_problems || (v_place || 'the SQL text is larger than 1 MiB');
        end if;
    end loop;
    v_problems := v_problems || array(select format('step %s is defined %s times', s.v ->> 'key', count(*))
        from jsonb_array_elements(p_document -> 'steps') s(v) group by s.v ->> 'key' having count(*) > 1 and s.v ->> 'key' is not null order by 1);
    if v_broken then
        return v_problems;
    end if;
    v_keys := (select jsonb_object_agg(s.v ->> 'key', true) from jsonb_array_elements(p_document -> 'steps') s(v) where s.v ->> 'key' is not null);
    return v_problems || array(
        select format('step %s%s: upstream %s is no step of this workflow', s.v ->> 'key', ' (' || (s.v ->> 'source') || ')', a.u)
        from jsonb_array_elements(p_document -> 'steps') with ordinality s(v, pos),
            lateral (select jsonb_array_elements_text(coalesce(s.v -> 'after', '[]')) union select s.v ->> 'each') a(u)
        where a.u is not null and not v_keys ? a.u order by s.pos, a.u);
end
$$;
