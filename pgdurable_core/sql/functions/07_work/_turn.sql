-- _turn: one transaction of df.work.
--
-- w[1] what happened: probe, open, again, fast, claimed, done, idle; null when it is over · 2 session · 3 epoch · 4 position
-- 5 the pass's snapshot · 6 transactions that finished late · 7, 8 how far the pass got · 9 it found something
-- 10-12 instance, scope, step to follow · 13, 14 steps followed, since · 15-20 the claim: instance, scope, step,
-- token, kind, runner · 21 done · 22 ends at · 23 idle seconds · 24 idle since · 25 last look at commands and
-- timers · 26 worker · 27 schema version · 28 claimed at · 29 plan · 30 lane · 31 instance state · 32 suspect ·
-- 33, 34 the one step that success leads to (0: the end), and its lane · 35 notices are being attributed ·
-- 36 roles served · 37 crash horizon · 38 the suspect that runs · 39 steps known to have earned the fast lane ·
-- 40 when this backend began · 41 a step ran in this transaction ·
-- 42 the instance's generation.
-- Text, not a row type: a procedure must not keep row types across its commits. It passes through the caller's
-- hands, so nothing that gives rights is taken from it: see df._resume.
create or replace function df._turn(w text[]) returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = 0
set datestyle = 'ISO, MDY'
set timezone = 'UTC'
as $$
declare
    v_now pg_snapshot;
begin
    if w[1] = 'claimed' then
        w := df._resume(w);
        if w[1] = 'go' then
            return df._execute(w);
        end if;
        return w;
    end if;
    w[41] := null;
    if w[10] is not null and w[2] is not null then
        w := df._claim(w, w[10], w[11]::bigint, w[12]::integer);
        if w[1] = 'fast' then
            return df._execute(w);
        end if;
        return w;
    end if;
    if w[2] is null then
        v_now := pg_current_snapshot();
        if df._has_work(w[4]::pg_snapshot) then
            return df._session(w);
        end if;
        w[4] := v_now::text;
        w[1] := 'idle';
    else
        w := df._take(w);
        if w[1] = 'fast' then
            return df._execute(w);
        end if;
    end if;
    if w[1] = 'idle' then
        if clock_timestamp() >= w[24]::timestamptz + make_interval(secs => w[23]::double precision) or clock_timestamp() > w[22]::timestamptz then
            if w[2] is null or not exists (select from df._steps t where t.state = 'ready' and t.lane = 2
                and df._serves(t.instance_id, t.plan_id, t.step, w[36])) then
                w[1] := null;
            end if;
        end if;
        if w[1] = 'idle' then
            perform pg_sleep(0.02);
        end if;
    else
        w[24] := clock_timestamp()::text;
    end if;
    return w;
end
$$;
