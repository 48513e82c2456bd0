-- _cycles: one shortest cycle through the first step of every knot, written as its path.
--
-- A knot (strongly connected component) is named once, as graph/analysis.py does. Arguments are _topology's.
-- Knots: Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972), without recursion.
create or replace function df._cycles(p_keys text[], p_up integer[], p_first integer[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    n constant integer := cardinality(p_keys);
    c_none constant integer[] := array_fill(0, array[n]);
    v_number integer[] := c_none;       -- when a step was first seen
    v_low integer[] := c_none;
    v_knot integer[] := c_none;
    v_stack integer[] := c_none;
    v_call integer[] := c_none;
    v_edge integer[] := p_first;
    v_from integer[] := c_none;
    v_named boolean[] := array_fill(false, array[n]);
    v_seen integer := 0;
    v_knots integer := 0;
    v_top integer := 0;
    v_depth integer;
    v_queue integer[];
    v_head integer;
    v_path text[];
    v_cycles text[] := '{}';
    i integer;
    j integer;
    u integer;
begin
    for i in 1..n loop
        continue when v_number[i] > 0;
        v_depth := 1;
        v_call[1] := i;
        while v_depth > 0 loop
            j := v_call[v_depth];
            if v_number[j] = 0 then
                v_seen := v_seen + 1;
                v_number[j] := v_seen;
                v_low[j] := v_seen;
                v_top := v_top + 1;
                v_stack[v_top] := j;
            end if;
            if v_edge[j] < p_first[j + 1] then
                u := p_up[v_edge[j]];
                v_edge[j] := v_edge[j] + 1;
                if v_number[u] = 0 then
                    v_depth := v_depth + 1;
                    v_call[v_depth] := u;
                elsif v_knot[u] = 0 then
                    v_low[j] := least(v_low[j], v_number[u]);
                end if;
                continue;
            end if;
            v_depth := v_depth - 1;
            if v_depth > 0 then
                v_low[v_call[v_depth]] := least(v_low[v_call[v_depth]], v_low[j]);
            end if;
            if v_low[j] = v_number[j] then
                v_knots := v_knots + 1;
                loop
                    u := v_stack[v_top];
                    v_top := v_top - 1;
                    v_knot[u] := v_knots;
                    exit when u = j;
                end loop;
            end if;
        end loop;
    end loop;
    for i in 1..n loop
        continue when v_named[v_knot[i]];
        v_named[v_knot[i]] := true;
        -- upstream inside the knot until the step itself comes back: a lone step without an edge to itself never does
        v_queue := array[i];
        v_head := 1;
        <<search>>
        while v_head <= cardinality(v_queue) loop
            j := v_queue[v_head];
            v_head := v_head + 1;
            for x in p_first[j]..p_first[j + 1] - 1 loop
                u := p_up[x];
                if u = i then
                    v_path := array[p_keys[i]];
                    while j <> i loop
                        v_path := v_path || p_keys[j];
                        j := v_from[j];
                    end loop;
                    v_cycles := v_cycles || array_to_string(v_path || p_keys[i], ' -> ');
                    exit search;
                elsif v_knot[u] = v_knot[i] and v_from[u] = 0 then
                    v_from[u] := j;
                    v_queue := v_queue || u;
                end if;
            end loop;
        end loop;
    end loop;
    return v_cycles;
end
$$;
