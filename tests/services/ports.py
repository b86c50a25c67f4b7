"""Ports for servers under test."""

import random
import socket
from contextlib import ExitStack

FIRST, LAST = 20_000, 32_767
"""Below Linux's range for the near end of connections, which takes a free port at any moment; below 55,536 too, above
which redis has no room for the port of its cluster."""


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago, all different."""
    # Seeded by the system: tests with a seed of their own would otherwise all try the same ports.
    choose = random.SystemRandom().randint
    ports: list[int] = []
    with ExitStack() as taken:
        while len(ports) < count:
            port = choose(FIRST, LAST)
            try:
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            ports.append(port)
    return ports
