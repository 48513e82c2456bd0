delete from mart.daily where day = '{ds}';

insert into mart.daily (day, region, orders, amount)
select order_date, region, count(*), sum(amount)
from   raw.orders
where  order_date = '{ds}' and amount >= $params.least
group  by order_date, region
