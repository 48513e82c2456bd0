-- The ledger takes anything, twice too: what keeps a line from being there twice is the engine alone.
create table ledger (lane int, line int, at timestamptz default clock_timestamp());

-- Three lanes of twenty steps, a third of a second each, and an end that counts what they wrote.
select df.create_workflow('relay', steps => array(
    select df.step(format('lane_%s_%s', lane, line), after => case when line > 1 then array[format('lane_%s_%s', lane, line - 1)] end,
                   run => format('insert into ledger values (%s, %s); select pg_sleep(0.33)', lane, line))
    from generate_series(1, 3) lane, generate_series(1, 20) line
) || df.step('count', after => '{lane_1_20,lane_2_20,lane_3_20}',
             run => df.check('select count(*) = 60, count(distinct (lane, line)) = 60 from ledger')));
