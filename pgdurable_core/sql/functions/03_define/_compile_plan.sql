-- _compile_plan: a checked graph document as plan rows, numbered topologically.
--
-- Step 0 is the virtual start (its successors are the roots and the steps with rule always), the
-- last number is the virtual end (its upstreams are the sinks). A step with `each` becomes map,
-- body and gather. plan_id is left at 0 for the caller to fill in.
--
-- Raises  PD400 for a cycle, a reference to a step that is not upstream, SQL that cannot stand.
create or replace function df._compile_plan(p_document jsonb) returns setof df._plan_steps
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_steps jsonb[];
    v_keys text[];
    v_pos jsonb;
    v_up integer[] := '{}';
    v_first integer[] := '{1}';
    v_order integer[];
    v_number integer[];
    v_out integer[];
    v_next integer := 1;
    n integer;
    i integer;
    j integer;
    k integer;
    v jsonb;
    v_run jsonb;
    v_names jsonb;
    v_step_names jsonb;
    v_defaults constant jsonb := coalesce(p_document -> 'defaults', '{}');
    v_rows df._plan_steps[] := '{}';
    v_row df._plan_steps;
    v_body df._plan_steps;
    v_gather df._plan_steps;
    v_end df._plan_steps;
    v_start df._plan_steps;
    v_sql jsonb;
    v_place text;
    v_succ jsonb;
    v_loose boolean := false;
    v_statement jsonb;
    v_uses integer[];
    r record;
begin
    select array_agg(s.v order by s.pos), array_agg(s.v ->> 'key' order by s.pos),
        jsonb_object_agg(s.v ->> 'key', s.pos)
    into v_steps, v_keys, v_pos
    from jsonb_array_elements(p_document -> 'steps') with ordinality s(v, pos);
    n := cardinality(v_steps);
    for i in 1..n loop
        v_up := v_up || array(select distinct (v_pos -> u)::integer from (
            select jsonb_array_elements_text(coalesce(v_steps[i] -> 'after', '[]')) as u
            union select v_steps[i] ->> 'each') x where u is not null order by 1);
        v_first := v_first || (cardinality(v_up) + 1);
    end loop;
    v_order := df._topology(v_keys, v_up, v_first);

    -- numbers: a mapped step takes three
    v_number := array_fill(0, array[n]);
    v_out := array_fill(0, array[n]);
    foreach i in array v_order loop
        v_number[i] := v_next;
        v_out[i] := v_next + case when v_steps[i] ? 'each' then 2 else 0 end;
        v_next := v_out[i] + 1;
    end loop;
    select coalesce(jsonb_object_agg(x.name, x.out), '{}') into v_step_names
    from (select coalesce(v_steps[p] ->> 'result_name', v_keys[p]) as name, v_out[p] as out
          from generate_subscripts(v_keys, 1) p) x
    where x.name ~ '^[A-Za-z_][A-Za-z0-9_]*$';

    foreach i in array v_order loop
        v := v_steps[i];
        v_run := coalesce(v -> 'run', '{"kind": "empty"}');
        v_place := format('step %s', v_keys[i]) || coalesce(' (' || (v ->> 'source') || ')', '');
        v_row := null;
        v_row.plan_id := 0;
        v_row.step := v_number[i];
        v_row.key := v_keys[i];
        v_row.kind := v_run ->> 'kind';
        v_row.class := 8;
        v_row.rule := coalesce(v ->> 'rule', 'all_success');
        v_row.upstream := array(select v_out[v_up[x]] from generate_series(v_first[i], v_first[i + 1] - 1) x order by 1);
        v_row.n := cardinality(v_row.upstream);
        v_row.retries := coalesce((v ->> 'retries')::integer, (v_defaults ->> 'retries')::integer, 0);
        v_row.retry_delay := coalesce(df._interval(coalesce(v ->> 'retry_delay', v_defaults ->> 'retry_delay'), v_place || ', retry_delay'), '5 minutes');
        v_row.timeout := df._interval(coalesce(v ->> 'timeout', v_defaults ->> 'timeout'), v_place || ', timeout');
        v_row.connection := coalesce(v ->> 'connection', v_defaults ->> 'connection');
        v_row.pool := coalesce(v ->> 'pool', v_defaults ->> 'pool');
        if v_row.pool is not null then
            raise exception '%: this version has no pools', v_place using errcode = 'PD501',
                hint = 'Leave pool out; the worker''s number of sessions limits what runs at once.';
        end if;
        v_row.run := v_run;
        v_row.result_name := coalesce(v ->> 'result_name', case when v_keys[i] ~ '^[A-Za-z_][A-Za-z0-9_]*$' then v_keys[i] end);
        if coalesce(v ->> 'run_as', v_defaults ->> 'run_as') is not null then
            v_row.run_as := to_regrole(quote_ident(coalesce(v ->> 'run_as', v_defaults ->> 'run_as')));
            if v_row.run_as is null then
                raise exception '%: there is no role %', v_place, coalesce(v ->> 'run_as', v_defaults ->> 'run_as') using errcode = 'PD404';
            end if;
        end if;
        v_row.succ := '{}';
        v_row.succ_ord := '{}';
        v_row.texts := '{}';
        v_row.modes := '';
        v_row.shards := 0;
        v_row.is_join := false;
        v_names := jsonb_build_object('bind', coalesce(v -> 'bind', '{}'), 'context', df._context_names(), 'steps', v_step_names);
        v_uses := '{}';

        if v_row.kind in ('sql', 'check', 'branch') then
            begin
                v_sql := df._compile_sql(v_run ->> 'sql', v_names);
            exception when sqlstate 'PD400' then
                get stacked diagnostics v_place = pg_exception_hint;
                raise exception 'step %: %', v_keys[i] || coalesce(' (' || (v ->> 'source') || ')', ''), sqlerrm using errcode = 'PD400', hint = v_place;
            end;
            if jsonb_array_length(v_sql -> 'statements') = 0 then
                raise exception '%: the SQL text holds no statement', v_place using errcode = 'PD400';
            end if;
            v_row.statement_class := coalesce(v ->> 'class', v_sql ->> 'class');
            if v ->> 'class' = 'plain' and v_sql ->> 'class' <> 'plain' then
                raise exception '%: class plain cannot take this text; it needs %', v_place, v_sql ->> 'class' using errcode = 'PD400';
            end if;
            if v_row.kind <> 'sql' and v_row.statement_class <> 'plain' then
                raise exception '%: a % must be plain SQL, this text is %', v_place, v_row.kind, v_row.statement_class using errcode = 'PD501';
            end if;
            v_row.lane := case v_row.statement_class when 'plain' then 1 else 3 end;
            v_uses := array(select x::integer from jsonb_array_elements_text(v_sql -> 'uses') x);
            v_row.texts := array(select (select string_agg(p.v #>> '{}', '' order by p.pos)
                    from jsonb_array_elements(s.v -> 'parts') with ordinality p(v, pos) where jsonb_typeof(p.v) = 'string')
                from jsonb_array_elements(v_sql -> 'statements') with ordinality s(v, pos) order by s.pos);
            v_row.modes := (select string_agg(s.v ->> 'mode', '' order by s.pos)
                from jsonb_array_elements(v_sql -> 'statements') with ordinality s(v, pos));
            if jsonb_path_exists(v_sql, '$.statements[*].parts[*] ? (@.type() == "object")') then
                v_row.parts := (select jsonb_agg(s.v -> 'parts' order by s.pos)
                    from jsonb_array_elements(v_sql -> 'statements') with ordinality s(v, pos));
            end if;
        elsif v_row.kind = 'empty' then
            v_row.lane := 1;
        else
            v_row.lane := case v_row.kind when 'python' then 4 else 5 end;
            if v_row.kind = 'python' and coalesce(v_run ->> 'callable', '') !~ '^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$' then
                raise exception '%: % is not module:name', v_place, coalesce(quote_literal(v_run ->> 'callable'), 'null') using errcode = 'PD400';
            end if;
            for r in select x.key from df._json_refs(v_run -> 'args') x(key) loop
                if not v_pos ? r.key then
                    raise exception '%: the arguments name %, which is no step', v_place, r.key using errcode = 'PD400';
                end if;
                v_uses := v_uses || v_out[(v_pos -> r.key)::integer];
            end loop;
            v_row.parts := (select jsonb_object_agg(x.key, v_out[(v_pos -> x.key)::integer]) from df._json_refs(v_run -> 'args') x(key));
        end if;

        if v ? 'bind' and v -> 'bind' <> '{}' then
            v_row.binds := '[]';
            for r in select b.name, b.expr from jsonb_each_text(v -> 'bind') b(name, expr) loop
                if r.name !~ '^[A-Za-z_][A-Za-z0-9_]*$' then
                    raise exception '%: the bind name % is no identifier', v_place, quote_literal(r.name) using errcode = 'PD400';
                end if;
                v_sql := df._compile_sql('select ' || r.expr, jsonb_build_object('bind', '{}'::jsonb, 'context', '{}'::jsonb, 'steps', v_step_names));
                if jsonb_array_length(v_sql -> 'statements') <> 1 or v_sql ->> 'class' <> 'plain' then
                    raise exception '%: bind % is not one expression', v_place, r.name using errcode = 'PD400';
                end if;
                v_uses := v_uses || array(select x::integer from jsonb_array_elements_text(v_sql -> 'uses') x);
                v_statement := v_sql -> 'statements' -> 0 -> 'parts';
                -- the leading "select " belongs to us
                v_statement := jsonb_set(v_statement, '{0}', to_jsonb(substr(v_statement ->> 0, 8)));
                v_row.binds := v_row.binds || jsonb_build_object('name', r.name, 'parts', v_statement);
            end loop;
            if v_row.kind in ('sql', 'check', 'branch') and v_row.parts is null then
                v_row.parts := (select jsonb_agg(jsonb_build_array(t)) from unnest(v_row.texts) t);
            end if;
        end if;

        -- what a step reads must be upstream of it
        foreach j in array v_uses loop
            if not j = any(v_row.upstream) and not exists (
                with recursive up(x) as (
                    select unnest(v_row.upstream)
                    union
                    select unnest(q.upstream) from up join unnest(v_rows) q on q.step = up.x
                ) select from up where x = j) then
                raise exception '%: it reads $%, which is not upstream of it', v_place,
                    (select q.key from unnest(v_rows) q where q.step = j union all select v_keys[i] limit 1)
                    using errcode = 'PD400', hint = 'Add it to after, or the value may not be there yet.';
            end if;
        end loop;

        if v ? 'each' then
            k := v_out[(v_pos -> (v ->> 'each'))::integer];
            v_body := v_row;
            v_body.step := v_row.step + 1;
            v_body.parent := v_row.step;
            v_body.gather := v_row.step + 2;
            v_body.upstream := '{}';
            v_body.n := 0;
            v_body.rule := 'all_success';
            v_gather := v_row;
            v_gather.kind := 'gather';
            v_gather.step := v_row.step + 2;
            v_gather.upstream := array[v_row.step];
            v_gather.n := 1;
            v_gather.rule := 'all_done';
            v_gather.is_join := true;
            v_gather.texts := '{}';
            v_gather.modes := '';
            v_gather.parts := null;
            v_gather.binds := null;
            v_gather.statement_class := null;
            v_gather.lane := 1;
            v_row.kind := 'map';
            v_row.lane := 1;
            v_row.each_step := k;
            v_row.gather := v_gather.step;
            v_row.statement_class := null;
            v_row.texts := '{}';
            v_row.modes := '';
            v_row.parts := null;
            v_row.binds := null;
            v_row.retries := 0;
            v_row.timeout := null;
            v_rows := v_rows || v_row || v_body || v_gather;
        else
            v_rows := v_rows || v_row;
        end if;
    end loop;

    -- the virtual ends
    v_end := null;
    v_end.plan_id := 0; v_end.step := v_next; v_end.key := '~end'; v_end.kind := 'end'; v_end.lane := 1; v_end.class := 8;
    v_end.rule := 'all_done'; v_end.run := '{}'; v_end.succ := '{}'; v_end.succ_ord := '{}'; v_end.texts := '{}'; v_end.modes := '';
    v_end.shards := 0; v_end.retries := 0; v_end.retry_delay := '0'; v_end.is_join := false;
    v_start := v_end;
    v_start.step := 0; v_start.key := '~start'; v_start.kind := 'start'; v_start.n := 0; v_start.upstream := '{}';
    v_end.upstream := array(select q.step from unnest(v_rows) q where q.parent is null and q.kind <> 'map'
        except select u from unnest(v_rows) d, unnest(d.upstream) u order by 1);
    v_end.n := cardinality(v_end.upstream);
    v_start.succ := array(select q.step from unnest(v_rows) q where q.parent is null and (q.n = 0 or q.rule = 'always') order by 1);
    v_start.succ_ord := array_fill(0, array[cardinality(v_start.succ)]);
    v_rows := v_start || v_rows || v_end;

    -- successors with this step's ordinal among the successor's upstreams
    select jsonb_object_agg(e.u, e.downs) into v_succ from (
        select u.u, jsonb_agg(jsonb_build_array(q.step, u.ord - 1) order by q.step) as downs
        from unnest(v_rows) q, unnest(q.upstream) with ordinality u(u, ord) group by u.u) e;
    v_loose := exists (select from unnest(v_rows) q where q.kind not in ('start', 'end') and (q.n > 1 or (q.rule = 'always' and q.n > 0) or q.kind = 'gather'));
    foreach v_row in array v_rows loop
        if v_row.kind <> 'start' and v_succ ? v_row.step::text then
            v_row.succ := array(select (e ->> 0)::integer from jsonb_array_elements(v_succ -> v_row.step::text) e);
            v_row.succ_ord := array(select (e ->> 1)::integer from jsonb_array_elements(v_succ -> v_row.step::text) e);
        end if;
        if v_row.kind = 'end' then
            v_row.is_join := v_row.n > 1 or v_loose;
        elsif v_row.kind <> 'start' then
            v_row.is_join := v_row.is_join or v_row.n > 1 or (v_row.rule = 'always' and v_row.n > 0);
        end if;
        if v_row.is_join and v_row.n > 64 and v_row.rule not in ('one_success', 'one_done', 'all_failed', 'all_skipped', 'always')
            and not exists (select from unnest(v_rows) g where g.kind = 'gather' and g.step = any(v_row.upstream) and v_row.kind <> 'end') then
            v_row.shards := least(256, (v_row.n + 63) / 64);
        end if;
        return next v_row;
    end loop;
end
$$;
