select '{{ ds }}' as day, '{ds}' as own
