"""`python -m streams`: the worker, and questions about stock that are answered from Kafka alone."""

from __future__ import annotations

import sys

from streams.cli import main

if __name__ == "__main__":
    sys.exit(main())
