-- sales_reporting: sales reporting.
--
-- From    dags/sales_reporting.py (source ca4d166b), read live: Airflow 3.3.2, cron with data intervals; it reads the
-- clock
-- Homes   8 native, 2 worker
-- Open    REVIEW AF013; explained in report.md
-- Apply   pgdurable deploy workflows/sales_reporting.sql --env dev (or psql -f); twice changes nothing; new = paused
-- Edit    yes: `pgdurable import` leaves an edited file as it is, or stops and shows both sides
--
--                                              .- reload_all -.          .- compare --.
--   stage_sales -- check_stage -- choose_load -+- load_day ---+- loaded -+- announce -+- archive -- purge
--
-- {ds} is text where Jinja stood; $params.full_refresh is a value, quoted by its type.

select df.create_workflow('sales_reporting',
  schedule       => '0 0 * * *',
  start_date     => '2021-11-15 00:00 UTC',
  data_intervals => true,
  params         => '{"full_refresh": {"default": false, "type": "boolean"}, "keep_days": {"default": 30}}',
  defaults       => '{"retries": 2, "connection": "dwh"}',
  modules        => '{"tasks.sales_reporting": "sha256:cc9de0e9868cf537dcc3d2b27675ca47b32939aaa148f1ddab561cd58dca8398"}',
  owner => 'bi', tags => '{bi}',
  doc => 'Sales reporting.
Stages one day of sales, checks it, loads it into the mart and tells who waits for it.',
  steps => array[

  -- A list of two statements in Airflow: one transaction and one retry unit, as here.
  df.step('stage_sales', source => 'dags/sales_reporting.py:58',
    bind => '{"tomorrow_ds": "df.ds_add(ds, 1)",
              "logical_date_plus_1_days_text": "to_char((logical_date + interval ''24 hours'') at time zone ''UTC'', ''YYYY-MM-DD'')"}',
    run => $sql$
delete from stage.sales where sold_at >= '{logical_date}' and sold_at < '{tomorrow_ds}';
insert into stage.sales
           select * from shop.sales
           where sold_at >= '{logical_date}'
             and sold_at < '{logical_date_plus_1_days_text}'
$sql$),

  -- Every column of the first row must be true.
  df.step('check_stage', after => '{stage_sales}', source => 'dags/sales_reporting.py:70', run => df.check($sql$
select count(*) > 0, bool_and(amount > 0) from stage.sales where sold_at::date = '{ds}'
$sql$)),

  -- Lifted, equal for both values of full_refresh:  if context["params"]["full_refresh"]: return "reload_all"; return
  -- "load_day"
  df.step('choose_load', after => '{check_stage}', source => 'dags/sales_reporting.py:76',
    run => df.branch($$select case when $params.full_refresh then 'reload_all' else 'load_day' end$$)),

  df.step('reload_all', after => '{choose_load}', source => 'dags/sales_reporting.py:80 dags/sql/reload_all.sql',
    bind => '{"tomorrow_ds": "df.ds_add(ds, 1)"}', run => $sql$
truncate mart.sales;

insert into mart.sales (day, region, amount)
select sold_at::date, region, sum(amount)
from   shop.sales
where  sold_at < '{tomorrow_ds}'
group  by 1, 2;
$sql$),

  df.step('load_day', after => '{choose_load}',
    source => 'dags/sales_reporting.py:82 dags/sql/load_day.sql', run => $sql$
-- {ds}, run {run_id}
delete from mart.sales where day = '{ds}';

insert into mart.sales (day, region, amount)
select sold_at::date, region, sum(amount)
from   stage.sales
where  sold_at::date = '{ds}'
group  by 1, 2;
$sql$),

  df.step('loaded', after => '{reload_all,load_day}', rule => 'none_failed_min_one_success',
    source => 'dags/sales_reporting.py:84'),

  df.step('compare', after => '{loaded}', source => 'dags/sales_reporting.py:86',
    bind => '{"yesterday_ds": "df.ds_add(ds, -1)"}', run => $sql$
insert into mart.changes
           select '{ds}', region, today.amount - coalesce(before.amount, 0)
           from mart.sales today left join mart.sales before using (region)
           where today.day = '{ds}' and before.day = '{yesterday_ds}'
$sql$),

  df.step('announce', after => '{loaded}', source => 'dags/sales_reporting.py:95',
    run => df.python('tasks.sales_reporting:announce', '{"channel": "#sales", "ds": "{ds}"}')),

  df.step('archive', after => '{compare,announce}', rule => 'none_failed_min_one_success',
    source => 'dags/sales_reporting.py:103',
    run => df.shell('echo archived sales_{ds_nodash}.csv', append_env => true)),

  df.step('purge', after => '{archive}', retries => 0, source => 'dags/sales_reporting.py:110',
    bind => '{"ds_minus_keep_days": "df.ds_add(ds, -(params ->> ''keep_days'')::int)"}',
    run => $$delete from stage.sales where sold_at < '{ds_minus_keep_days}'$$)
]);
-- pgdurable import: graph 477390a8, text 4a0daf8c. Without this line the file is yours alone and import leaves it be.
