"""`make demo`: five years of retail data go through the whole pipeline in half a minute, and every number is checked.

retail.py     what a retailer sold and took back (TPC-DS), from the cache
trade.py      the retailer's day: sales become movements of goods, shelves are refilled, places are counted
incidents.py  what goes wrong, on purpose: each discrepancy and dead letter has a cause known beforehand
script.py     both joined to one timed list of records per source system, with resends and reordering
oracle.py     the final stock and channel quantities by simple arithmetic, without `streams`
producer.py   one process per source system
stack.py      Kafka, worker, sinks and simulators as supervised processes
observe.py    what the pipeline says: topics and metrics, read while it runs
live.py, check.py, report.py, main.py   the live view, the verdict, the final table, the command
"""
