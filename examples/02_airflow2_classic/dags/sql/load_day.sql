-- {{ ds }}, run {{ run_id }}
delete from mart.sales where day = '{{ ds }}';

insert into mart.sales (day, region, amount)
select sold_at::date, region, sum(amount)
from   stage.sales
where  sold_at::date = '{{ ds }}'
group  by 1, 2;
