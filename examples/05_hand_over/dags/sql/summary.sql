select region, orders, amount from mart.daily where day = '{ds}' order by region
