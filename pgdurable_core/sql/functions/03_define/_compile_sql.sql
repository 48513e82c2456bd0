-- _compile_sql: SQL text as statements, each with its references resolved once and for all.
--
-- p_names: {"bind": {name: true}, "context": {name: true}, "steps": {result name: step number}}.
-- Returns {"statements": [{"text", "parts", "mode"}], "class", "uses": [step number, …]}.
-- `mode` is r (returns rows), m (may) or e (does not). Parts hold literal text and reference objects:
-- {"raw": name}, {"param": name}, {"item": column or null}, {"step": n, "col"|"all"|"first", "opt"}.
-- {name} counts anywhere; $name counts outside string literals, quoted identifiers, comments
-- and dollar-quoted bodies. What is not a known name stays as it is.
--
-- Raises  PD400 transaction control, SET ROLE; text that ends inside a quote or comment.
create or replace function df._compile_sql(p_sql text, p_names jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $fn$
declare
    t text;
    v_lex text[];
    i integer := 0;
    v_count integer;
    v_state text := 'code';
    v_tag text;
    v_depth integer := 0;
    v_paren integer := 0;
    v_prev text := '';
    v_escape boolean := false;
    v_is_e boolean := false;
    v_buffer text := '';
    v_parts jsonb := '[]';
    v_words text[] := '{}';
    v_into boolean := false;
    v_returning boolean := false;
    v_modifies boolean := false;
    v_statements jsonb := '[]';
    v_uses jsonb := '[]';
    v_class text := 'plain';
    v_rank integer;
    v_ref jsonb;
    v_m text[];
    v_one jsonb;
begin
    select coalesce(array_agg(m[1]), '{}') into v_lex
    from regexp_matches(p_sql || ';',
        '(--|/\*|\*/|\$(?:[[:alpha:]_][[:alnum:]_]*)?\$|\$[[:alpha:]_][[:alnum:]_]*(?:\.(?:[[:alpha:]_][[:alnum:]_]*|\*)\??|\?)?|[[:alpha:]_][[:alnum:]_]*|[0-9]+|[[:space:]]+|[^[:alnum:]_[:space:]])',
        'g') m;
    v_count := cardinality(v_lex);
    while i < v_count loop
        i := i + 1;
        t := v_lex[i];

        -- {name}: raw text, in every state
        if t = '{' and i + 2 <= v_count and v_lex[i + 2] = '}' and v_lex[i + 1] ~ '^[[:alpha:]_]'
            and (p_names -> 'bind' ? v_lex[i + 1] or p_names -> 'context' ? v_lex[i + 1]) then
            if v_buffer <> '' then
                v_parts := v_parts || to_jsonb(v_buffer);
                v_buffer := '';
            end if;
            v_parts := v_parts || jsonb_build_object('raw', v_lex[i + 1]);
            i := i + 2;
            v_prev := '}';
            continue;
        end if;

        case v_state
            when 'code' then
                if t = '''' then
                    v_state := 'string';
                    v_is_e := lower(v_prev) = 'e';
                    v_escape := false;
                elsif t = '"' then
                    v_state := 'ident';
                elsif t = '--' then
                    v_state := 'line';
                elsif t = '/*' then
                    v_state := 'block';
                    v_depth := 1;
                elsif t ~ '^\$.*\$$' and length(t) >= 2 and v_prev !~ '[[:alnum:]_]$' then
                    v_state := 'dollar';
                    v_tag := t;
                elsif t ~ '^\$[[:alpha:]_]' and v_prev !~ '[[:alnum:]_$]$' then
                    v_m := regexp_match(t, '^\$([[:alpha:]_][[:alnum:]_]*)(?:\.([[:alpha:]_][[:alnum:]_]*|\*))?(\?)?$');
                    v_ref := null;
                    if v_m[1] = 'params' and v_m[2] <> '*' then
                        v_ref := jsonb_build_object('param', v_m[2]);
                    elsif v_m[1] = 'params' then
                        v_ref := jsonb_build_object('param', null);
                    elsif v_m[1] = 'item' then
                        v_ref := jsonb_build_object('item', nullif(v_m[2], '*'));
                    elsif p_names -> 'steps' ? v_m[1] then
                        v_ref := jsonb_build_object('step', (p_names -> 'steps' -> v_m[1])::integer, 'name', v_m[1])
                            || case when v_m[2] = '*' then '{"all": true}'::jsonb
                                when v_m[2] is not null then jsonb_build_object('col', v_m[2])
                                else '{"first": true}'::jsonb end
                            || case when v_m[3] is null then '{}'::jsonb else '{"opt": true}'::jsonb end;
                        v_uses := v_uses || (p_names -> 'steps' -> v_m[1]);
                    end if;
                    if v_ref is not null then
                        if v_m[3] is not null and not v_ref ? 'step' then
                            t := '?';
                        else
                            t := '';
                        end if;
                        if v_buffer <> '' then
                            v_parts := v_parts || to_jsonb(v_buffer);
                            v_buffer := '';
                        end if;
                        v_parts := v_parts || v_ref;
                        v_prev := ')';
                        v_buffer := t;
                        continue;
                    end if;
                elsif t = '(' then
                    v_paren := v_paren + 1;
                elsif t = ')' then
                    v_paren := v_paren - 1;
                elsif t = ';' and not (v_paren > 0 and v_words[1] = 'create') and not
                        (v_words[1] = 'create' and 'atomic' = any(v_words) and v_words[cardinality(v_words)] is distinct from 'end') then
                    if v_words <> '{}' then
                        if v_buffer <> '' then
                            v_parts := v_parts || to_jsonb(v_buffer);
                        end if;
                        v_one := df._statement_class(v_words, v_into, v_returning, v_modifies);
                        if v_one ? 'error' then
                            raise exception '%', v_one ->> 'error' using errcode = 'PD400', hint = v_one ->> 'hint';
                        end if;
                        v_statements := v_statements || jsonb_build_object('parts', v_parts, 'mode', v_one -> 'mode');
                        v_rank := case v_one ->> 'class' when 'plain' then 0 when 'session' then 1 else 2 end;
                        if v_rank > (case v_class when 'plain' then 0 when 'session' then 1 else 2 end) then
                            v_class := v_one ->> 'class';
                        end if;
                    end if;
                    v_buffer := '';
                    v_parts := '[]';
                    v_words := '{}';
                    v_into := false;
                    v_returning := false;
                    v_modifies := false;
                    v_paren := 0;
                    v_prev := ';';
                    continue;
                elsif t ~ '^[[:alpha:]_]' then
                    if cardinality(v_words) < 6 or lower(t) in ('atomic', 'end', 'concurrently', 'stdin', 'stdout') then
                        v_words := v_words || lower(t);
                    end if;
                    if v_paren = 0 and lower(t) = 'into' and v_words[1] in ('select', 'with', 'values', 'table')
                        and lower(v_prev) not in ('insert', 'merge') then
                        v_into := true;
                    elsif v_paren = 0 and lower(t) = 'returning' then
                        v_returning := true;
                    elsif v_paren = 0 and lower(t) in ('insert', 'update', 'delete', 'merge') then
                        v_modifies := true;
                    end if;
                end if;
            when 'string' then
                if v_escape then
                    v_escape := false;
                elsif t = '\' and v_is_e then
                    v_escape := true;
                elsif t = '''' then
                    v_state := 'code';
                end if;
            when 'ident' then
                if t = '"' then
                    v_state := 'code';
                end if;
            when 'line' then
                if t ~ '\n' then
                    v_state := 'code';
                end if;
            when 'block' then
                if t = '/*' then
                    v_depth := v_depth + 1;
                elsif t = '*/' then
                    v_depth := v_depth - 1;
                    if v_depth = 0 then
                        v_state := 'code';
                    end if;
                end if;
            when 'dollar' then
                if t = v_tag then
                    v_state := 'code';
                end if;
        end case;
        v_buffer := v_buffer || t;
        if t !~ '^\s' then
            v_prev := t;
        elsif v_state = 'code' then
            v_prev := case when v_prev in ('insert', 'merge', 'INSERT', 'MERGE') then v_prev else ' ' end;
        end if;
    end loop;
    if v_state not in ('code', 'line') then
        raise exception 'the SQL text ends inside %', case v_state when 'string' then 'a string literal'
            when 'ident' then 'a quoted identifier' when 'block' then 'a comment' else 'a dollar-quoted body ' || v_tag end
            using errcode = 'PD400', hint = 'Close it, or check where the text was cut.';
    end if;
    if v_state = 'line' and v_words <> '{}' then
        -- a trailing line comment swallowed the closing semicolon we added
        return df._compile_sql(p_sql || E'\n', p_names);
    end if;
    return jsonb_build_object('statements', v_statements, 'class', v_class, 'uses', v_uses);
end
$fn$;
