-- _decide: Airflow's trigger rules as arithmetic on arrival counters.
--
-- s, f, k, u, r: upstreams that succeeded, failed, were skipped, upstream_failed, removed; n: all of them.
-- Returns run, skipped, upstream_failed, or wait. Source: airflow/ti_deps/deps/trigger_rule_dep.py (3.3);
-- agreement with every row that Airflow's own code computed is a test.
create or replace function df._decide(p_rule text, n integer, s integer, f integer, k integer, u integer, r integer)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    done constant integer := s + f + k + u + r;
begin
    if n = 0 or p_rule = 'always' then
        return 'run';
    end if;
    return case p_rule
        when 'all_success' then
            case when f + u > 0 then 'upstream_failed' when k > 0 then 'skipped' when s + r >= n then 'run' else 'wait' end
        when 'all_failed' then
            case when s + k > 0 then 'skipped' when f + u + r >= n then 'run' else 'wait' end
        when 'all_done' then
            case when done >= n then 'run' else 'wait' end
        when 'all_done_min_one_success' then
            case when k > 0 then 'skipped' when done < n then 'wait' when s = 0 then 'upstream_failed' else 'run' end
        when 'all_done_setup_success' then
            case when done >= n then 'run' else 'wait' end
        when 'one_success' then
            case when s > 0 then 'run' when done < n then 'wait' when k = n then 'skipped' else 'upstream_failed' end
        when 'one_failed' then
            case when f + u > 0 then 'run' when done >= n then 'skipped' else 'wait' end
        when 'one_done' then
            case when s + f > 0 then 'run' when done >= n then 'skipped' else 'wait' end
        when 'none_failed' then
            case when f + u > 0 then 'upstream_failed' when s + k + r >= n then 'run' else 'wait' end
        when 'none_failed_min_one_success' then
            case when f + u > 0 then 'upstream_failed' when k >= n then 'skipped' when done < n then 'wait'
                when s = 0 then 'upstream_failed' else 'run' end
        when 'none_skipped' then
            case when k > 0 then 'skipped' when done >= n then 'run' else 'wait' end
        when 'all_skipped' then
            case when s + f + u > 0 then 'skipped' when k >= n then 'run' else 'wait' end
    end;
end
$$;
