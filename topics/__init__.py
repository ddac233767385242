"""The contract: what travels through Kafka, in which topics, under which key, and what is refused.

`streams` (the worker) and `sinks` (the channels) never import each other; all that they share is here.
Everything but `admin`, `dead_letters_cli` and `__main__` is free of I/O.
"""
