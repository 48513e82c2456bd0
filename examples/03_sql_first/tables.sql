create schema books; create schema closing;
create table books.entries (entry_id int primary key, booked_on date, region text, account text, amount numeric(12,2));
create table closing.entries (like books.entries);
create table closing.balances (month date, region text, revenue numeric(14,2), cost numeric(14,2), primary key (month, region));
create table closing.results (month date primary key, result numeric(14,2), times_published int);

-- Double entry: what is on one account is missing on another, so a whole month adds up to nothing.
insert into books.entries
select 2 * n + side, date '2026-09-01' + n % 61, ('{EU,UK,US}'::text[])[1 + n % 3],
       case when side = 1 then 'cash' when n % 4 = 0 then 'cost' else 'revenue' end,
       (case when n % 4 = 0 then -1 else 1 end) * (case side when 1 then 1 else -1 end) * (20 + n % 30)
from generate_series(1, 600) n, generate_series(0, 1) side;

-- In October somebody forgot the second half of a booking.
delete from books.entries where entry_id = 81;

-- A source of rates that is never there when it is asked first: a sequence counts what is rolled back, too.
create sequence closing.asked;
create function closing.rate(currency text) returns numeric language plpgsql as $$
begin
    if nextval('closing.asked') % 2 = 1 then
        raise exception 'no rate for % yet', currency;
    end if;
    return 1.25;
end $$;
