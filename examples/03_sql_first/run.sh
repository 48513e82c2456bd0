#!/bin/sh
# Close two months: September with psql alone, October with a worker. The server is private and gone at the end.
set -eu
cd "$(dirname "$0")"
PGDURABLE_HOME="$(mktemp -d)"
export PGDURABLE_HOME
trap 'pgdurable db stop >/dev/null 2>&1 || true; rm -rf "$PGDURABLE_HOME"' EXIT

pgdurable db start >/dev/null 2>&1
# The psql of the private server; with a database of yours it would be psql itself.
sql() { pgdurable db psql -- -X -q -v ON_ERROR_STOP=1 "$@"; }
steps() {
    sql -A -F ' | ' -P footer=off -c "select coalesce(key || '[' || map_index || ']', key) as step, status, attempt as tries,
        coalesce(error ->> 'message', reason, row_count || ' rows', result #>> '{}') as outcome
        from df.steps s where instance_id = '$1' order by s.step, map_index"
}

echo "== The engine is a script, the workflow one statement"
pgdurable schema sql | sql -o /dev/null
sql -f tables.sql
sql -At -f month_close.sql

echo
echo "== September, with psql alone"
september="$(sql -At -c "select df.start_workflow('month_close', logical_date => '2026-09-01', run_key => '2026-09')")"
sql -o /dev/null -c "call df.work(idle_seconds => 3)"
steps "$september"

echo
echo "== The same run key starts nothing twice"
again="$(sql -At -c "select df.start_workflow('month_close', logical_date => '2026-09-01', run_key => '2026-09')")"
test "$again" = "$september" && echo "the same instance"

echo
echo "== October, with a worker: a booking lacks its other half"
october="$(pgdurable start month_close --date 2026-10-01 --run-key 2026-10 2>/dev/null)"
pgdurable worker --until-idle >/dev/null 2>&1
steps "$october"

echo
echo "== Mended, and tried again from what failed"
sql -c "insert into books.entries select 81, booked_on, region, 'cash', -amount from books.entries where entry_id = 80"
pgdurable retry "$october" >/dev/null 2>&1
pgdurable worker --until-idle >/dev/null 2>&1
steps "$october"

echo
echo "== September once more: it was published, so it is restated"
pgdurable start month_close --date 2026-09-01 --run-key 2026-09-again >/dev/null 2>&1
pgdurable worker --until-idle >/dev/null 2>&1
sql -c "select * from closing.results order by month"
