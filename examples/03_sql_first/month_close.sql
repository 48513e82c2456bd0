select df.create_workflow('month_close',
  doc    => 'Close a month: copy it, check it, balance every region, publish the result.',
  params => '{"currency": {"default": "USD"}}',
  steps  => array[

  -- {ds} is text, put in where it stands; a bind is one SQL expression with a name. A check fails unless every column
  -- of its first row is true, and then nothing behind it runs.
  df.step('balanced', bind => '{"next_month": "(ds::date + interval ''1 month'')::date"}', run => df.check($$
    select count(*) > 0 as has_entries, sum(amount) = 0 as adds_up
    from books.entries where booked_on >= '{ds}' and booked_on < '{next_month}'
  $$)),

  df.step('copy', after => '{balanced}', bind => '{"next_month": "(ds::date + interval ''1 month'')::date"}', run => $$
    delete from closing.entries;
    insert into closing.entries select * from books.entries where booked_on >= '{ds}' and booked_on < '{next_month}'
  $$),

  -- A step is one transaction. The first try fails here; the second comes a second later.
  df.step('rate', retries => 3, retry_delay => '1 s', run => $$select closing.rate($params.currency) as factor$$),

  df.step('regions', after => '{copy}', run => $$select distinct region from closing.entries order by region$$),

  -- Once per row of regions, side by side. $item.region and $rate.factor are values, quoted by their type.
  df.step('balance', after => '{rate}', each => 'regions', run => $$
    delete from closing.balances where month = '{ds}' and region = $item.region;
    insert into closing.balances
    select '{ds}', $item.region,
           coalesce(-sum(amount) filter (where account = 'revenue'), 0) * $rate.factor,
           coalesce(sum(amount) filter (where account = 'cost'), 0) * $rate.factor
    from closing.entries where region = $item.region
  $$),

  df.step('total', after => '{balance}', run => $$
    select sum(revenue - cost) as result from closing.balances where month = '{ds}'
  $$),

  -- A branch answers with the key of the step to take; the others are skipped.
  df.step('choose', after => '{total}', run => df.branch($$
    select case when exists (select from closing.results where month = '{ds}') then 'restate' else 'publish' end
  $$)),

  df.step('publish', after => '{choose}', run => $$insert into closing.results values ('{ds}', $total.result, 1)$$),

  df.step('restate', after => '{choose}', run => $$
    update closing.results set result = $total.result, times_published = times_published + 1 where month = '{ds}'
  $$),

  -- By default a step runs when all before it succeeded; one of these two was skipped, which none_failed allows.
  df.step('tidy', after => '{publish,restate}', rule => 'none_failed', run => $$delete from closing.entries$$)
]);
