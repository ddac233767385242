"""The worker: folds movements into stock, publishes sync updates and discrepancies, exactly once.

`core` holds the rules (pure), `engine` carries records to them and away from them, the rest is the way in and out.
"""

from importlib.metadata import version

VERSION = version("stockstream")
