"""Ports on 127.0.0.1 that nobody uses.

They are taken from below the range from which Linux and macOS give ports to outgoing connections: a port from that
range may be lent to any client between our look and the broker's bind, or while a killed broker is down.
"""

import random
import socket
from collections.abc import Collection

from deploy.local.errors import LocalKafkaError

HOST = "127.0.0.1"
FIRST, LAST = 12_000, 32_000
TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now (as Java does it: connections that are fading away do not count)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except (OSError, OverflowError):
            return False
    return True


def free_ports(count: int, not_these: Collection[int] = ()) -> list[int]:
    """`count` different free ports. Another process may still take one before it is used: the caller tries again."""
    found: list[int] = []
    for _ in range(TRIES):
        port = random.randrange(FIRST, LAST)  # noqa: S311 - so that processes that look at the same time differ
        if port not in found and port not in not_these and is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise LocalKafkaError(f"no {count} free ports between {FIRST} and {LAST} on {HOST}: stop what listens there")
