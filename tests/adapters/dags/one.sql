select 1
from   t
where  d = '{{ ds }}'
