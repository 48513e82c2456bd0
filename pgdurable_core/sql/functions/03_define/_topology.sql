-- _topology: topological numbers of steps 1..n given their upstreams, ties in source order.
--
-- p_up holds, per step, its upstream positions; concatenated, with p_first(i) where step i's begin.
-- Returns order[k] = position of the k-th step; what a cycle holds up is left out.
create or replace function df._topology(p_keys text[], p_up integer[], p_first integer[]) returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    n constant integer := cardinality(p_keys);
    v_left integer[] := array_fill(0, array[n]);
    v_down_first integer[] := array_fill(0, array[n + 1]);
    v_fill integer[];
    v_down integer[];
    v_queue integer[] := '{}';
    v_head integer := 1;
    v_order integer[] := '{}';
    i integer;
    j integer;
    d integer;
begin
    for i in 1..n loop
        v_left[i] := p_first[i + 1] - p_first[i];
        for j in p_first[i]..p_first[i + 1] - 1 loop
            v_down_first[p_up[j] + 1] := v_down_first[p_up[j] + 1] + 1;
        end loop;
    end loop;
    v_down_first[1] := 1;
    for i in 1..n loop
        v_down_first[i + 1] := v_down_first[i] + v_down_first[i + 1];
    end loop;
    v_fill := v_down_first;
    v_down := array_fill(0, array[greatest(cardinality(p_up), 1)]);
    for i in 1..n loop
        for j in p_first[i]..p_first[i + 1] - 1 loop
            d := p_up[j];
            v_down[v_fill[d]] := i;
            v_fill[d] := v_fill[d] + 1;
        end loop;
        if v_left[i] = 0 then
            v_queue := v_queue || i;
        end if;
    end loop;
    while v_head <= cardinality(v_queue) loop
        i := v_queue[v_head];
        v_head := v_head + 1;
        v_order := v_order || i;
        for j in v_down_first[i]..v_down_first[i + 1] - 1 loop
            d := v_down[j];
            v_left[d] := v_left[d] - 1;
            if v_left[d] = 0 then
                v_queue := v_queue || d;
            end if;
        end loop;
    end loop;
    return v_order;
end
$$;
