"""`python -m streams`: the worker, and questions about stock that are answered from Kafka alone."""

from __future__ import annotations

import sys

from streams.cli import main

sys.exit(main())
