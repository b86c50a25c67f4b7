"""The sockets that a server listens on."""

import errno
import socket
import sys
from typing import Final

_REASONS: Final = {
    errno.EADDRINUSE: "it is taken; choose another with --port",
    errno.EACCES: "ports below 1024 need rights that this user does not have; choose another with --port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
}
BACKLOG: Final = 2048


class CannotListen(Exception):
    """The address cannot be opened. The message is one sentence."""


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """One bound socket for each of `count` workers, all on one port; not listening yet. Port 0 takes a free one.

    On Linux each is a socket of its own, and the kernel deals new connections out evenly: from one shared socket
    the first worker to wake takes most of them. Elsewhere all are the same. Raises CannotListen.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if not sys.platform.startswith("linux") or count == 1:
            return [_bound(family, address, shared=False)] * count
        # Sockets that share a port would also share it with another server of the same user, without an error.
        with _bound(family, address, shared=False) as probe:
            address = probe.getsockname()
        return [_bound(family, address, shared=True) for _ in range(count)]
    except socket.gaierror:
        raise CannotListen(f"{host!r} is no address of this machine; choose another with --host") from None
    except OSError as exc:
        reason = _REASONS.get(exc.errno or 0, exc.strerror)
        raise CannotListen(f"cannot listen on {shown(host, port)}: {reason}") from None


def shown(host: str, port: int) -> str:
    """`host:port` as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(family: int, address: object, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)  # type: ignore[arg-type]
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
