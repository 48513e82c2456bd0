-- _purge_modules: mark modules that no workflow version pins, and remove those that were marked before p_before, a day
-- ago at least: a deployment that saw one before the mark has committed by then.
--
-- Locks   the modules' rows (skip locked).
create or replace function df._purge_modules(p_before timestamptz) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    r record;
    v_pins text[] := array(select distinct m.key || ' ' || m.value from df._workflow_versions v,
        jsonb_each_text(case when jsonb_typeof(v.document -> 'modules') = 'object' then v.document -> 'modules' else '{}' end) m);
    v_count integer := 0;
begin
    for r in
        select m.name, m.sha256, m.unused_since, m.name || ' sha256:' || m.sha256 = any(v_pins) as is_pinned
        from df._modules m for update skip locked
    loop
        if r.is_pinned or r.unused_since is null then
            update df._modules m set unused_since = case when not r.is_pinned then df._now() end
            where m.name = r.name and m.sha256 = r.sha256 and (m.unused_since is null) <> r.is_pinned;
        elsif r.unused_since < least(p_before, df._now() - interval '1 day') then
            delete from df._modules m where m.name = r.name and m.sha256 = r.sha256;
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end
$$;
