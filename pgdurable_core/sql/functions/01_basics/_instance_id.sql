-- _instance_id: the n-th instance's name, 12 lower-case hex digits.
--
-- A three-round Feistel network over 2 x 24 bits: a bijection on 48 bits, so no
-- collisions and no reuse, and neighbours look unlike each other in short prefixes.
create or replace function df._instance_id(p_n bigint) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    l bigint := (p_n >> 24) & 16777215;
    r bigint := p_n & 16777215;
    t bigint;
begin
    for i in 1..3 loop
        t := r;
        r := l # (((r * 11400714 + i * 7919) >> 5) & 16777215);
        l := t;
    end loop;
    return lpad(to_hex((l << 24) | r), 12, '0');
end
$$;
