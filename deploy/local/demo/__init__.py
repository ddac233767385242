"""`make demo`: five years of retail data go through the whole pipeline in half a minute, and every number is checked.

What is sent, and what must come of it
    retail.py        what a retailer sold and took back (TPC-DS), from the cache
    moves.py         one movement, and who tells it
    trade.py         the retailer's years: sales become movements of goods, shelves are refilled, places are counted
    incidents.py     what goes wrong in them, on purpose: each discrepancy has a cause known beforehand
    stories.py       six products of their own with one trouble each
    bad.py           records that end in the dead letters, each for a known reason
    script.py        all of it as one timed list of records per source system, with resends and reordering
    oracle.py        the final stock and channel quantities by plain arithmetic, without `streams`

How it is played
    main.py          the command; programs.py: how each program is started; stack.py: supervised processes
    producer.py      one process per source system; conductor.py: the beat that all of them follow
    people.py        what people do: edit the shop, decide about discrepancies, mend a listing
    play.py          the run, from the first process to the verdict

What is seen
    observe.py       what the pipeline's topics say; figures.py: what its programs count
    check.py         the verdict, in words; live.py, report.py: the live view and the last page
"""
