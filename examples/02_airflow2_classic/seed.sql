drop schema if exists shop, stage, mart cascade;
create schema shop; create schema stage; create schema mart;
create table shop.sales (sale_id int, sold_at timestamptz, region text, amount numeric(12,2));
create table stage.sales (like shop.sales);
create table mart.sales (day date, region text, amount numeric(14,2), primary key (day, region));
create table mart.changes (day date, region text, amount numeric(14,2));
insert into shop.sales
select n, timestamptz '2021-11-15 00:00 UTC' + n * interval '1 hour', ('{north,south,west}'::text[])[1 + n % 3], 10 + n % 17
from generate_series(0, 191) n;
insert into mart.sales
select sold_at::date, region, sum(amount) from shop.sales where sold_at < '2021-11-21' group by 1, 2;
