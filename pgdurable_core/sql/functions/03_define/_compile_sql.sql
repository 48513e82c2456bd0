-- _compile_sql: SQL text as statements, each with its references resolved once and for all.
--
-- p_names: names that {name} may use (binds and context). p_steps: {result name: step number}.
-- Returns {"parts": [[…], …], "texts", "modes", "class", "uses": [step number, …], "has_names"}, parts and texts per statement.
-- A mode is r (returns rows), m (may) or e (does not). Parts hold literal text and reference objects:
-- {"raw": name}, {"param": name}, {"item": column or null, "all"}, {"step": n, "col"|"all"|"first", "opt"}.
-- {name} counts anywhere; $name counts outside string literals, quoted identifiers, comments
-- and dollar-quoted bodies. What is not a known name stays as it is, byte for byte.
-- Quotes, comments and bodies end where PostgreSQL's own scanner ends them (src/backend/parser/scan.l),
-- statements where psql's does (src/fe_utils/psqlscan.l).
--
-- Raises  PD400 transaction control, SET ROLE; text that ends inside a quote or comment.
create or replace function df._compile_sql(p_sql text, p_names jsonb, p_steps jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $fn$
declare
    -- letters as scan.l has them: ASCII's, the underscore, and everything beyond ASCII
    c_first constant text := '[^\u0001-\u0040\u005b-\u005e\u0060\u007b-\u007f]';
    c_more constant text := '[^\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f]';
    c_word constant text := c_first || c_more || '*';
    c_lex constant text := '(--|/\*|\*/|\$(?:' || c_word || ')?\$|\$' || c_word || '(?:\.(?:' || c_word || '|\*)\??|\?)?|'
        || c_word || '|[0-9]+|[[:space:]]+|.)';
    c_ref constant text := '^\$(' || c_word || ')(?:\.(' || c_word || '|\*))?(\?)?$';
    c_ends_word constant text := c_more || '$';
    t text;
    v_lex text[];
    i integer := 0;
    v_count integer;
    v_state text := 'code';
    v_tag text;
    v_depth integer := 0;
    v_paren integer := 0;
    v_body integer := 0;
    v_prev text := '';
    v_word text := '';
    v_escape boolean := false;
    v_is_e boolean := false;
    v_goes_on boolean := false;
    v_chunks text[] := '{}';
    v_buffer text := '';
    v_parts jsonb := '[]';
    v_words text[] := '{}';
    v_into boolean := false;
    v_returning boolean := false;
    v_all jsonb := '[]';
    v_texts text[] := '{}';
    v_text text := '';
    v_modes text := '';
    v_has_names boolean := false;
    v_uses jsonb := '[]';
    v_class text := 'plain';
    v_ref jsonb;
    v_m text[];
    v_one jsonb;
begin
    v_lex := array(select m[1] from regexp_matches(p_sql, c_lex, 'g') m);
    v_count := cardinality(v_lex);
    while i <= v_count loop
        i := i + 1;
        t := v_lex[i];
        if i > v_count then
            exit when v_state not in ('code', 'line');
            t := ';';
            v_state := 'code';
            v_paren := 0;
            v_body := 0;
        elsif t = '{' and v_lex[i + 2] = '}' and p_names ? v_lex[i + 1] then
            -- {name}: raw text, in every state
            if v_chunks <> '{}' or v_buffer <> '' then
                v_parts := v_parts || to_jsonb(array_to_string(v_chunks, '') || v_buffer);
                v_text := v_text || array_to_string(v_chunks, '') || v_buffer;
                v_chunks := '{}';
                v_buffer := '';
            end if;
            v_has_names := true;
            v_parts := v_parts || jsonb_build_object('raw', v_lex[i + 1]);
            i := i + 2;
            v_prev := '}';
            continue;
        end if;

        case v_state
            when 'code' then
                if t = '''' then
                    v_state := 'string';
                    v_is_e := v_prev in ('e', 'E') or v_goes_on;
                    v_escape := false;
                elsif t = '"' then
                    v_state := 'ident';
                elsif t = '--' then
                    v_state := 'line';
                elsif t = '/*' then
                    v_state := 'block';
                    v_depth := 1;
                elsif t ~ '^\$.*\$$' and length(t) >= 2 and v_prev !~ c_ends_word then
                    v_state := 'dollar';
                    v_tag := t;
                elsif t ~ c_ref and v_prev !~ c_ends_word and v_prev <> '$' then
                    v_m := regexp_match(t, c_ref);
                    v_ref := null;
                    if v_m[1] = 'params' then
                        v_ref := jsonb_build_object('param', nullif(v_m[2], '*'));
                    elsif v_m[1] = 'item' then
                        v_ref := jsonb_build_object('item', nullif(v_m[2], '*')) || case when v_m[2] = '*' then '{"all": true}' else '{}' end::jsonb;
                    elsif p_steps ? v_m[1] then
                        v_ref := jsonb_build_object('step', (p_steps -> v_m[1])::integer, 'name', v_m[1])
                            || case when v_m[2] = '*' then '{"all": true}'::jsonb
                                when v_m[2] is not null then jsonb_build_object('col', v_m[2])
                                else '{"first": true}'::jsonb end
                            || case when v_m[3] is null then '{}'::jsonb else '{"opt": true}'::jsonb end;
                        v_uses := v_uses || (p_steps -> v_m[1]);
                    end if;
                    if v_ref is not null then
                        if v_chunks <> '{}' or v_buffer <> '' then
                            v_parts := v_parts || to_jsonb(array_to_string(v_chunks, '') || v_buffer);
                            v_text := v_text || array_to_string(v_chunks, '') || v_buffer;
                            v_chunks := '{}';
                        end if;
                        v_has_names := true;
                        v_buffer := case when v_m[3] is not null and not v_ref ? 'step' then '?' else '' end;
                        v_parts := v_parts || v_ref;
                        v_prev := ')';
                        continue;
                    end if;
                elsif t = '(' then
                    v_paren := v_paren + 1;
                elsif t = ')' then
                    v_paren := v_paren - 1;
                elsif t = ';' and v_body = 0 and not (v_paren > 0 and v_words[1] = 'create') then
                    if v_words <> '{}' then
                        if v_chunks <> '{}' or v_buffer <> '' then
                            v_parts := v_parts || to_jsonb(array_to_string(v_chunks, '') || v_buffer);
                        end if;
                        v_one := df._statement_class(v_words, v_into, v_returning);
                        if v_one ? 'error' then
                            raise exception '%', v_one ->> 'error' using errcode = 'PD400', hint = v_one ->> 'hint';
                        end if;
                        v_all := v_all || jsonb_build_array(v_parts);
                        v_texts := v_texts || (v_text || array_to_string(v_chunks, '') || v_buffer);
                        v_modes := v_modes || (v_one ->> 'mode');
                        if v_one ->> 'class' = 'autonomous' or v_class = 'plain' then
                            v_class := v_one ->> 'class';
                        end if;
                    end if;
                    v_chunks := '{}';
                    v_buffer := '';
                    v_parts := '[]';
                    v_text := '';
                    v_words := '{}';
                    v_into := false;
                    v_returning := false;
                    v_paren := 0;
                    v_prev := ';';
                    v_word := '';
                    continue;
                elsif t ~ c_first then
                    if cardinality(v_words) < 6 or lower(t) in ('concurrently', 'stdin', 'stdout') then
                        v_words := v_words || lower(t);
                    end if;
                    -- the body of a SQL-standard routine: its semicolons and its CASE … END are its own
                    if v_body > 0 then
                        v_body := v_body + case lower(t) when 'case' then 1 when 'end' then -1 else 0 end;
                    elsif lower(t) = 'atomic' and v_word = 'begin' and v_words[1] = 'create' then
                        v_body := 1;
                    elsif v_paren = 0 and lower(t) = 'into' and v_words[1] in ('select', 'with', 'values', 'table')
                        and v_word not in ('insert', 'merge') then
                        v_into := true;
                    elsif v_paren = 0 and lower(t) = 'returning' then
                        v_returning := true;
                    end if;
                    v_word := lower(t);
                end if;
            when 'string' then
                if v_escape then
                    v_escape := false;
                elsif t = '\' and v_is_e then
                    v_escape := true;
                elsif t = '''' then
                    if v_lex[i + 1] = '''' then
                        i := i + 1;
                        t := '''''';
                    else
                        v_state := 'code';
                    end if;
                end if;
            when 'ident' then
                if t = '"' then
                    v_state := 'code';
                end if;
            when 'line' then
                if t ~ '[\n\r]' then
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
                elsif t ~ '^\$.*\$$' and length(t) >= 2 then
                    -- another tag: its last dollar may begin ours
                    v_lex := v_lex[:i - 1] || left(t, -1) || array(select m[1] from regexp_matches(
                        '$' || array_to_string(v_lex[i + 1:], ''), c_lex, 'g') m);
                    v_count := cardinality(v_lex);
                    t := v_lex[i];
                end if;
        end case;
        -- a string goes on behind white space with a line break in it
        v_goes_on := v_state = 'code' and v_is_e and (v_prev = '''' or v_goes_on) and t ~ '[\n\r]' and t ~ '^\s+$';
        v_buffer := v_buffer || t;
        if length(v_buffer) > 8192 then
            v_chunks := v_chunks || v_buffer;
            v_buffer := '';
        end if;
        v_prev := t;
    end loop;
    if v_state <> 'code' then
        raise exception 'the SQL text ends inside %', case v_state when 'string' then 'a string literal'
            when 'ident' then 'a quoted identifier' when 'block' then 'a comment' else 'a dollar-quoted body ' || v_tag end
            using errcode = 'PD400', hint = 'Close it, or check where the text was cut.';
    end if;
    return jsonb_build_object('parts', v_all, 'texts', v_texts, 'modes', v_modes, 'class', v_class, 'uses', v_uses, 'has_names', v_has_names);
end
$fn$;
