-- odd-ones: Umlaute: äöü.
--
--   1  dollars, ends_with_a_dollar, newlines_around, null, quoted, load-x, wide, part.number_00, part.number_01,
--      part.number_02, part.number_03, part.number_04, part.number_05, part.number_06, part.number_07, part.number_08,
--      part.number_09, part.number_10, part.number_11, part.number_12, part.number_13
--   2  nothing, join

select df.create_workflow('odd-ones',
  doc => 'Umlaute: äöü.
And a second line.',
  steps => array[

  df.step('dollars', run_as => 'analyst', class => 'autonomous', run => $sql2$select '$$', '$sql$', '$sql1$'$sql2$),
  df.step('ends_with_a_dollar', run => $sql$select $1$$sql$),
  df.step('newlines_around', source => 'dags/odd.py:4', run => $sql$


select 1


$sql$),

  df.step('null',
    run => df.shell($sh$echo 'a'
/opt/run.sh $sh$,
                    env => '{"D": "{ds}"}', append_env => true, cwd => '/opt/etl')),

  df.step('nothing', after => '{"null",dollars}', rule => 'all_done',
    doc => 'Wait for
both.'),

  df.step('quoted', run => df.shell($$echo 'a'$$, env => '{"D": "{ds}"}')),

  df.step('load-x', timeout => '2 h', pool => 'ledger', connection => 'erp', result_name => 'load_x',
    run => $$vacuum t$$),

  df.step('wide', source => 'dags/odd.py:40',
    bind => '{"month": "to_char(logical_date, ''YYYY-MM'')",
              "two": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}',
    run => df.python('package.module:function',
                     '{"rows": {"xcom": "load-x"},
                       "names": ["a rather long name, number 0",
                                 "a rather long name, number 1",
                                 "a rather long name, number 2",
                                 "a rather long name, number 3",
                                 "a rather long name, number 4",
                                 "a rather long name, number 5"]}', runtime => 'airflow')),

  -- Group part

  df.step('part.number_00', run => $$select 0$$),
  df.step('part.number_01', run => $$select 1$$),
  df.step('part.number_02', run => $$select 2$$),
  df.step('part.number_03', run => $$select 3$$),
  df.step('part.number_04', run => $$select 4$$),
  df.step('part.number_05', run => $$select 5$$),
  df.step('part.number_06', run => $$select 6$$),
  df.step('part.number_07', run => $$select 7$$),
  df.step('part.number_08', run => $$select 8$$),
  df.step('part.number_09', run => $$select 9$$),
  df.step('part.number_10', run => $$select 10$$),
  df.step('part.number_11', run => $$select 11$$),
  df.step('part.number_12', run => $$select 12$$),
  df.step('part.number_13', run => $$select 13$$),
  df.step('join', after => '{part.number_00,part.number_01,part.number_02,part.number_03,part.number_04,
                             part.number_05,part.number_06,part.number_07,part.number_08,part.number_09,
                             part.number_10,part.number_11,part.number_12,part.number_13}')
]);
-- pgdurable import: graph 1388db89, text 06688009. Without this line the file is yours alone and import leaves it be.
