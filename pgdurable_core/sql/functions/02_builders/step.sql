create or replace function df.step(
    key text,
    run text default null,
    after text[] default null,
    rule text default null,
    each text default null,
    bind jsonb default null,
    retries integer default null,
    retry_delay text default null,
    timeout text default null,
    pool text default null,
    run_as text default null,
    connection text default null,
    class text default null,
    result_name text default null,
    source text default null,
    doc text default null
) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'key', key, 'after', case when cardinality(after) > 0 then to_jsonb(after) end,
        'rule', rule, 'each', each, 'retries', retries, 'retry_delay', retry_delay,
        'timeout', timeout, 'pool', pool, 'run_as', run_as, 'connection', connection, 'class', class,
        'result_name', result_name, 'source', source, 'doc', doc))
        || jsonb_build_object('run', df._run_of(run)) || case when bind is null then '{}' else jsonb_build_object('bind', bind) end
$$;
comment on function df.step(text, text, text[], text, text, jsonb, integer, text, text, text, text, text, text, text, text, text) is
    'one step of a workflow, as the graph document writes it; run is SQL text or a builder';
