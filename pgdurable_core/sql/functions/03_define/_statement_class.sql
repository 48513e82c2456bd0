-- _statement_class: who can execute a statement, from its leading words.
--
-- plain: PL/pgSQL's execute takes it. session: a client's session in a transaction.
-- autonomous: outside a transaction. {"error", "hint"}: nobody, as it stands.
create or replace function df._statement_class(p_words text[], p_into boolean, p_returning boolean) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    w constant text := p_words[1];
    v constant text := coalesce(p_words[2], '');
begin
    if w in ('begin', 'commit', 'rollback', 'savepoint', 'release', 'abort')
        or (w = 'start' and v = 'transaction') or (w = 'end' and cardinality(p_words) <= 2)
        or (w = 'prepare' and v = 'transaction') then
        return jsonb_build_object('error', 'a step is one transaction: ' || upper(w) || ' cannot stand in its text',
            'hint', 'Take BEGIN and COMMIT out, or split the step where the text commits.');
    end if;
    if w in ('set', 'reset') and (v = 'role' or v in ('local', 'session') and (p_words[3] in ('role', 'authorization')
            or p_words[3] = 'session' and p_words[4] = 'authorization')) then
        return jsonb_build_object('error', 'a step cannot change its role', 'hint', 'State run_as => ''role'' on the step.');
    end if;
    if w in ('set', 'reset') and 'standard_conforming_strings' = any(p_words[2:3]) then
        return jsonb_build_object('error', 'a step''s text is read with standard_conforming_strings on, and cannot set it',
            'hint', 'Write E''...'' where a backslash is to escape.');
    end if;
    if w = 'vacuum' or (w in ('create', 'drop', 'reindex', 'alter') and 'concurrently' = any(p_words))
        or (w = 'reindex' and p_words && '{database,system,schema}')
        or (w in ('create', 'drop') and v in ('database', 'tablespace', 'subscription'))
        or (w = 'alter' and v = 'system') or (w = 'cluster' and v in ('', 'verbose')) then
        return '{"class": "autonomous", "mode": "e"}';
    end if;
    if w = 'copy' and ('stdin' = any(p_words) or 'stdout' = any(p_words)) or p_into then
        return '{"class": "session", "mode": "e"}';
    end if;
    if w in ('select', 'values', 'table', 'show', 'explain', 'fetch')
        or p_returning and w in ('insert', 'update', 'delete', 'merge') then
        return '{"class": "plain", "mode": "r"}';
    end if;
    if w in ('with', 'call', 'execute') then
        return '{"class": "plain", "mode": "m"}';
    end if;
    return '{"class": "plain", "mode": "e"}';
end
$$;
