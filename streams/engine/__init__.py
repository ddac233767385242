"""Batches of records through Faust, and transactions back to Kafka: the only place that knows Faust's private methods.

    runtime.py   what all parts share: options, ledgers and writers by partition number
    slices.py    fetched records that know the position they were read from
    names.py     header names that are not UTF-8
    consumer.py  back-pressure, the guard against holes, seeking to our own positions, fencing, draining
    writer.py    one transactional producer per partition number, one transaction per window
    table.py     rows restored from the changelog in batches
    memory.py    the memory read back from the input topics
    transport.py the drivers that Faust is given instead of its own

Promises: records reach the ledger without a hole; rows, outputs, dead letters and positions become visible in one
transaction or not at all; a former owner is fenced before anything is read; any failure ends the process (`crash`)
with nothing acknowledged.
"""
