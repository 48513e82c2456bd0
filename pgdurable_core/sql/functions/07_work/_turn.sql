-- _turn: one transaction of df.work.
--
-- w[1] what happened: probe, open, again, fast, claimed, done, idle; null when it is over · 2 session · 3 epoch ·
-- 4 position · 5 the pass's snapshot · 6 transactions that finished late · 7, 8 how far the pass got · 9 it found something
-- 10-12 instance, scope, step to follow · 13, 14 steps followed, since · 15-20 the claim: instance, scope, step,
-- token, kind, role · 21 done · 22 ends at · 23 idle seconds · 24 idle since · 25 last look at commands and
-- timers · 26 worker · 27 of which functions it is · 29 plan · 30 lane · 31 instance state · 32 suspect ·
-- 36 roles served · 37 crash horizon · 38 the suspect that runs · 39 steps known to have earned the fast lane ·
-- 40 when this backend began · 41 a step ran in this transaction ·
-- 42 what df._ahead takes next, or gave back. Times are seconds since 1970: no DateStyle bends them.
-- Text, not a row type: a procedure must not keep row types across its commits. It passes through the caller's
-- hands, so nothing that gives rights is taken from it: see df._resume.
create or replace function df._turn(w text[]) returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = 0
as $$
declare
    v_position pg_snapshot;
    a text[];
begin
    perform df._alone();
    if w[27] is distinct from '@functions@' then
        return df._hand_back();
    end if;
    w[41] := null;
    if w[42] is not null then
        -- back from df._ahead
        a := w[42];
        w[42] := null;
        w[13] := a[9];
        if a[12] is not null then
            w[39] := ',';
        end if;
        if a[1] = 'redo' then
            w[1] := 'claimed';
            w[15:18] := a[2:5];
        elsif a[1] = 'follow' and a[9]::integer < 16 and date_part('epoch', clock_timestamp()) < a[10]::double precision + 0.1 then
            w[10:12] := a[2:4];
        end if;
    end if;
    if w[1] = 'claimed' then
        w := df._resume(w);
        if w[1] = 'go' then
            return df._execute(w);
        end if;
        return w;
    elsif w[2] is null then
        v_position := pg_current_snapshot();
        if df._has_work(w[4]::pg_snapshot) then
            return df._session(w);
        end if;
        w[4] := v_position::text;
        w[1] := 'idle';
    else
        if w[10] is not null then
            w[36] := df._served();
            w := df._claim(w, w[10], w[11]::bigint, w[12]::integer);
        else
            w := df._take(w);
        end if;
        if w[1] = 'fast' then
            return df._execute(w);
        end if;
    end if;
    if w[1] = 'idle' then
        if extract(epoch from clock_timestamp()) > least(w[24]::numeric + w[23]::numeric, w[22]::numeric) then
            if w[2] is null or not exists (select from df._steps t where t.state = 'ready' and t.lane = 2
                and df._serves(t.instance_id, t.plan_id, t.step, w[36])) then
                w[1] := null;
            end if;
        end if;
        if w[1] = 'idle' then
            perform pg_sleep(0.02);
        end if;
    else
        w[24] := extract(epoch from clock_timestamp())::text;
    end if;
    return w;
end
$$;
