truncate mart.sales;

insert into mart.sales (day, region, amount)
select sold_at::date, region, sum(amount)
from   shop.sales
where  sold_at < '{{ tomorrow_ds }}'
group  by 1, 2;
