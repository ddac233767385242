"""The contract: what travels through Kafka, in which topics, under which key, and what is refused.

`streams` (the worker) and `sinks` (the channels) never import each other; all that they share is here.
Only `admin`, `log` and the commands (`__main__`, `dead_letters_cli`) talk to Kafka; `settings` and `policy` read the
environment and a file; everything else is free of I/O.
"""
