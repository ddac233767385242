"""stockstream on one machine: a real Apache Kafka without Docker, and the demo that runs on it.

`local_kafka()` in `deploy.local.cluster` is what tests and the demo use; `python -m deploy.local --help` shows the
commands.
"""
