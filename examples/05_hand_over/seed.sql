-- The tables that the DAG works on. Twice changes nothing.
set client_min_messages = warning;
create schema if not exists raw;
create schema if not exists mart;
create table if not exists raw.orders (order_id int primary key, order_date date, region text, amount numeric(12, 2));
create table if not exists mart.daily (day date, region text, orders bigint, amount numeric(12, 2));
insert into raw.orders
select n, '2026-11-21', (array['DE', 'FR', 'PL'])[n % 3 + 1], n * 10 from generate_series(1, 30) n
on conflict do nothing;
