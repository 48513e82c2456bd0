-- _compile_plan: a checked graph document as plan rows, numbered topologically.
--
-- Step 0 is the virtual start (its successors are the roots and the steps with rule always), the
-- last number is the virtual end (its upstreams are the sinks). A step with `each` becomes map,
-- body and gather. plan_id is left at 0 for the caller to fill in.
--
-- Raises  with every problem of the steps at once: cycles, each with its path, SQL that cannot stand, a reference to a step
-- that is not upstream (PD400), a role that is not there (PD404), what this version lacks (PD501). The first gives the code.
create or replace function df._compile_plan(p_document jsonb) returns setof df._plan_steps
language plpgsql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
set enable_nestloop = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    c_name constant text := '^[A-Za-z_][A-Za-z0-9_]*$';
    v_steps jsonb[];
    v_keys text[];
    v_pos jsonb;
    v_up integer[];
    v_first integer[];
    v_order integer[];
    v_number integer[];         -- of a step, by its position
    v_out integer[];            -- the number that its successors wait for: its gather's when it is mapped
    v_place_of integer[];       -- the position of a step, by that number
    v_gathers boolean[];
    v_marks integer[];
    v_queue integer[];
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
    v_loose boolean := false;
    v_statement jsonb;
    v_uses integer[];
    v_role text;
    v_problems text[] := '{}';
    v_state text;
    v_hint text;
    v_first_state text;
    v_first_hint text;
    v_is_cyclic boolean;
    r record;
begin
    select array_agg(s.v order by s.pos), array_agg(s.v ->> 'key' order by s.pos),
        jsonb_object_agg(s.v ->> 'key', s.pos)
    into v_steps, v_keys, v_pos
    from jsonb_array_elements(p_document -> 'steps') with ordinality s(v, pos);
    n := cardinality(v_steps);
    with edges as (
        select distinct s.pos, (v_pos -> u.key)::integer as up
        from unnest(v_steps) with ordinality s(v, pos)
        cross join lateral (select jsonb_array_elements_text(coalesce(s.v -> 'after', '[]')) union all select s.v ->> 'each') u(key)
        where u.key is not null
    )
    select (select coalesce(array_agg(e.up order by e.pos, e.up), '{}') from edges e),
        array(select (1 + sum(count(e.up)) over (order by g))::integer from generate_series(0, n) g left join edges e on e.pos = g group by g order by g)
    into v_up, v_first;
    v_order := df._topology(v_keys, v_up, v_first);
    v_is_cyclic := cardinality(v_order) < n;
    if v_is_cyclic then
        v_problems := array(select 'the steps form a cycle: ' || c.path from unnest(df._cycles(v_keys, v_up, v_first)) with ordinality c(path, pos) order by c.pos);
        v_first_state := 'PD400';
        v_first_hint := 'Take one of these edges out.';
        v_order := v_order || array(select x from generate_series(1, n) x except select unnest(v_order) order by 1);
    end if;

    -- numbers: a mapped step takes three
    v_number := array_fill(0, array[n]);
    v_out := array_fill(0, array[n]);
    foreach i in array v_order loop
        v_number[i] := v_next;
        v_out[i] := v_next + case when v_steps[i] ? 'each' then 2 else 0 end;
        v_next := v_out[i] + 1;
    end loop;
    v_place_of := array_fill(0, array[v_next]);
    v_gathers := array_fill(false, array[v_next]);
    v_marks := array_fill(0, array[n]);
    for i in 1..n loop
        v_place_of[v_out[i]] := i;
        v_gathers[v_out[i]] := v_steps[i] ? 'each';
    end loop;
    select coalesce(jsonb_object_agg(x.name, x.out), '{}') into v_step_names
    from (select coalesce(s.v ->> 'result_name', s.key) as name, s.out from unnest(v_steps, v_keys, v_out) s(v, key, out)) x
    where x.name ~ c_name;

    foreach i in array v_order loop
        v := v_steps[i];
        v_place := format('step %s', v_keys[i]) || coalesce(' (' || (v ->> 'source') || ')', '');
        begin
            v_run := coalesce(v -> 'run', '{"kind": "empty"}');
            v_row := null;
            v_row.plan_id := 0;
            v_row.step := v_number[i];
            v_row.key := v_keys[i];
            v_row.kind := v_run ->> 'kind';
            if v ? 'each' and v_row.kind = 'branch' then
                raise exception 'a branch cannot be mapped, its choice would have no effect' using errcode = 'PD501';
            end if;
            v_row.class := 8;
            v_row.rule := coalesce(v ->> 'rule', 'all_success');
            v_row.n := v_first[i + 1] - v_first[i];
            v_row.upstream := case v_row.n when 0 then '{}' when 1 then array[v_out[v_up[v_first[i]]]]
                else array(select v_out[v_up[x]] from generate_series(v_first[i], v_first[i + 1] - 1) x order by 1) end;
            v_row.retries := coalesce((v ->> 'retries')::integer, (v_defaults ->> 'retries')::integer, 0);
            v_row.retry_delay := coalesce(df._interval(coalesce(v ->> 'retry_delay', v_defaults ->> 'retry_delay'), 'retry_delay'), '5 minutes');
            v_row.timeout := df._interval(coalesce(v ->> 'timeout', v_defaults ->> 'timeout'), 'timeout');
            v_row.connection := coalesce(v ->> 'connection', v_defaults ->> 'connection');
            v_row.pool := coalesce(v ->> 'pool', v_defaults ->> 'pool');
            if v_row.pool is not null then
                raise exception 'this version has no pools' using errcode = 'PD501',
                    hint = 'Leave pool out; the worker''s number of sessions limits what runs at once.';
            end if;
            v_row.run := v_run;
            v_row.result_name := coalesce(v ->> 'result_name', case when v_keys[i] ~ c_name then v_keys[i] end);
            v_role := coalesce(v ->> 'run_as', v_defaults ->> 'run_as');
            if v_role is not null then
                v_row.run_as := to_regrole(quote_ident(v_role));
                if v_row.run_as is null then
                    raise exception 'there is no role %', v_role using errcode = 'PD404';
                end if;
            end if;
            v_row.succ := '{}';
            v_row.succ_ord := '{}';
            v_row.texts := '{}';
            v_row.modes := '';
            v_row.shards := 0;
            v_row.is_join := false;
            v_names := coalesce(v -> 'bind', '{}') || df._context_names();
            v_uses := '{}';

            if v_row.kind in ('sql', 'check', 'branch') then
                v_sql := df._compile_sql(v_run ->> 'sql', v_names, v_step_names);
                if v_sql ->> 'modes' = '' then
                    raise exception 'the SQL text holds no statement' using errcode = 'PD400';
                end if;
                v_row.statement_class := coalesce(v ->> 'class', v_sql ->> 'class');
                if v ->> 'class' = 'plain' and v_sql ->> 'class' <> 'plain' then
                    raise exception 'class plain cannot take this text; it needs %', v_sql ->> 'class' using errcode = 'PD400';
                end if;
                if v_row.kind <> 'sql' and v_row.statement_class <> 'plain' then
                    raise exception 'a % must be plain SQL, this text is %', v_row.kind, v_row.statement_class using errcode = 'PD501';
                end if;
                v_row.lane := case v_row.statement_class when 'plain' then 1 else 3 end;
                v_uses := array(select x::integer from jsonb_array_elements_text(v_sql -> 'uses') x);
                v_row.texts := array(select jsonb_array_elements_text(v_sql -> 'texts'));
                v_row.modes := v_sql ->> 'modes';
                if (v_sql -> 'has_names')::boolean then
                    v_row.parts := v_sql -> 'parts';
                end if;
            elsif v_row.kind = 'empty' then
                v_row.lane := 1;
            else
                v_row.lane := case v_row.kind when 'python' then 4 else 5 end;
                if v_row.kind = 'python' and coalesce(v_run ->> 'callable', '') !~ '^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$' then
                    raise exception '% is not module:name', coalesce(quote_literal(v_run ->> 'callable'), 'null') using errcode = 'PD400';
                end if;
                for r in select x.key from df._json_refs(v_run -> 'args') x(key) loop
                    if not v_pos ? r.key then
                        raise exception 'the arguments name %, which is no step', r.key using errcode = 'PD400';
                    end if;
                    v_uses := v_uses || v_out[(v_pos -> r.key)::integer];
                end loop;
                v_row.parts := (select jsonb_object_agg(x.key, v_out[(v_pos -> x.key)::integer]) from df._json_refs(v_run -> 'args') x(key));
            end if;

            if v ? 'bind' and v -> 'bind' <> '{}' then
                if v_row.kind not in ('sql', 'check', 'branch') then
                    raise exception 'this version computes names for SQL alone, not for %', v_row.kind using errcode = 'PD501',
                        hint = 'Select the value in a SQL step before it, and hand it over: {"xcom": "that step"}.';
                end if;
                v_row.binds := '[]';
                for r in select b.name, b.expr from jsonb_each_text(v -> 'bind') b(name, expr) loop
                    if r.name !~ c_name then
                        raise exception 'the bind name % is no identifier', quote_literal(r.name) using errcode = 'PD400';
                    end if;
                    v_sql := df._compile_sql('select ' || r.expr, '{}', v_step_names);
                    if length(v_sql ->> 'modes') <> 1 or v_sql ->> 'class' <> 'plain' then
                        raise exception 'bind % is not one expression', r.name using errcode = 'PD400';
                    end if;
                    v_uses := v_uses || array(select x::integer from jsonb_array_elements_text(v_sql -> 'uses') x);
                    v_statement := v_sql -> 'parts' -> 0;
                    -- the leading "select " belongs to us
                    v_statement := jsonb_set(v_statement, '{0}', to_jsonb(substr(v_statement ->> 0, 8)));
                    v_row.binds := v_row.binds || jsonb_build_object('name', r.name, 'parts', v_statement);
                end loop;
                if v_row.kind in ('sql', 'check', 'branch') and v_row.parts is null then
                    v_row.parts := (select jsonb_agg(jsonb_build_array(t)) from unnest(v_row.texts) t);
                end if;
            end if;

            -- what a step reads must be upstream of it: walk up, never past the number looked for
            foreach j in array v_uses loop
                continue when j = any(v_row.upstream);
                v_queue := array[i];
                k := 1;
                while k <= cardinality(v_queue) and v_marks[v_place_of[j]] <> i loop
                    for x in v_first[v_queue[k]]..v_first[v_queue[k] + 1] - 1 loop
                        if (v_is_cyclic or v_out[v_up[x]] >= j) and v_marks[v_up[x]] <> i then
                            v_marks[v_up[x]] := i;
                            v_queue := v_queue || v_up[x];
                        end if;
                    end loop;
                    k := k + 1;
                end loop;
                if v_marks[v_place_of[j]] <> i then
                    raise exception 'it reads $%, which is not upstream of it', v_keys[v_place_of[j]]
                        using errcode = 'PD400', hint = 'Add it to after, or the value may not be there yet.';
                end if;
                foreach k in array v_queue loop
                    v_marks[k] := 0;
                end loop;
            end loop;
        exception when sqlstate 'PD400' or sqlstate 'PD404' or sqlstate 'PD501' then
            get stacked diagnostics v_state = returned_sqlstate, v_hint = pg_exception_hint;
            v_problems := v_problems || (v_place || ': ' || sqlerrm);
            v_first_hint := case when v_first_state is null then nullif(v_hint, '') else v_first_hint end;
            v_first_state := coalesce(v_first_state, v_state);
            continue;
        end;

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
            v_rows := v_rows || v_row;
            v_rows := v_rows || v_body;
            v_rows := v_rows || v_gather;
        else
            v_rows := v_rows || v_row;
        end if;
    end loop;

    if v_problems <> '{}' then
        v_place := format('%s: %s problem%s: %s', p_document ->> 'name', cardinality(v_problems),
            case when cardinality(v_problems) > 1 then 's' else '' end, v_problems[1]);
        if v_first_hint is null then
            raise exception '%', v_place using errcode = v_first_state, detail = array_to_string(v_problems, E'\n');
        end if;
        raise exception '%', v_place using errcode = v_first_state, detail = array_to_string(v_problems, E'\n'), hint = v_first_hint;
    end if;

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

    v_loose := exists (select from unnest(v_rows) q where q.kind not in ('start', 'end') and (q.n > 1 or (q.rule = 'always' and q.n > 0) or q.kind = 'gather'));
    -- successors with this step's ordinal among the successor's upstreams
    for r in
        select q as plan_step, e.downs, e.ords
        from unnest(v_rows) q
        left join (select u.u, array_agg(d.step order by d.step) as downs, array_agg(u.ord::integer - 1 order by d.step) as ords
            from unnest(v_rows) d, unnest(d.upstream) with ordinality u(u, ord) group by u.u) e on e.u = q.step and q.kind <> 'start'
        order by q.step
    loop
        v_row := r.plan_step;
        v_row.succ := coalesce(r.downs, v_row.succ);
        v_row.succ_ord := coalesce(r.ords, v_row.succ_ord);
        if v_row.kind = 'end' then
            v_row.is_join := v_row.n > 1 or v_loose;
        elsif v_row.kind <> 'start' then
            v_row.is_join := v_row.is_join or v_row.n > 1 or (v_row.rule = 'always' and v_row.n > 0);
        end if;
        if v_row.is_join and v_row.n > 64 and v_row.rule not in ('one_success', 'one_done', 'all_failed', 'all_skipped', 'always')
            and not (v_row.kind <> 'end' and exists (select from unnest(v_row.upstream) u where v_gathers[u])) then
            v_row.shards := least(256, (v_row.n + 63) / 64);
        end if;
        return next v_row;
    end loop;
end
$$;
