"""From a URL to connections: redis://, rediss:// (TLS), redis+sentinel:// and rediss+sentinel://."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

from cnr.domain.store_url import StoreUrl
from cnr.store.base import StoreRefused

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_SENTINEL: Final = "+sentinel"
_TLS_OPTIONS: Final = {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"}
"""Options in a URL's query: files of the authority, and of a certificate of this server's own."""


@dataclass(frozen=True, slots=True)
class Connector:
    """`make` gives unconnected connections, each of which asks the sentinels, if there are any, when it connects.

    `close` lets go of what was used to ask them.
    """

    make: Callable[[], AbstractConnection]
    close: Callable[[], Awaitable[None]]


def connector(url: StoreUrl, *, connect_s: float) -> Connector:
    """Connections to `url`.

    `redis://user:password@host:6379/0`: the path is the database. `redis+sentinel://user:password@h1,h2/master/0`:
    user and password are those of redis; the sentinels' are the options sentinel_user and sentinel_password.
    Raises StoreRefused.
    """
    options = dict(url.query)
    names = {"sentinel_user", "sentinel_password"} if _SENTINEL in url.scheme else set()
    known = names | (set(_TLS_OPTIONS) if _is_tls(url) else set())
    if unknown := sorted(options.keys() - known):
        raise StoreRefused(f"{url} has an option that is not known: {unknown[0]}")
    if _SENTINEL not in url.scheme and len(url.hosts) != 1:
        raise StoreRefused(f"{url} names {len(url.hosts)} hosts; use redis+sentinel:// for several")
    if _SENTINEL in url.scheme:
        return _by_sentinels(url, options, connect_s)
    return _connector(_pool(url, options), _nothing)


def _is_tls(url: StoreUrl) -> bool:
    return url.scheme.startswith("rediss")


def _pool(url: StoreUrl, options: dict[str, str]) -> ConnectionPool:
    host = url.hosts[0]
    tls: dict[str, Any] = {"connection_class": SSLConnection, **_tls(options)} if _is_tls(url) else {}
    return ConnectionPool(
        host=host.name, port=host.port or PORT, **_login(url.username, url.password), **_common(url, url.path), **tls
    )


def _by_sentinels(url: StoreUrl, options: dict[str, str], connect_s: float) -> Connector:
    _, _, path = url.path.partition("/")
    service, _, database = path.partition("/")
    if not service:
        raise StoreRefused(f"{url} names no master; use redis+sentinel://host1,host2/master/0")
    login = _login(options.get("sentinel_user", ""), options.get("sentinel_password", ""))
    tls = {"ssl": True, **_tls(options)} if _is_tls(url) else {}
    # A sentinel may be asked again: it is only read.
    sentinels = Sentinel(
        [(host.name, host.port or SENTINEL_PORT) for host in url.hosts],
        sentinel_kwargs={**login, **tls, "socket_timeout": connect_s / 2, "retry": None},
    )
    own = _login(url.username, url.password)
    return _connector(
        SentinelConnectionPool(service, sentinels, **own, **_common(url, database), **tls), sentinels.aclose
    )


def _connector(pool: ConnectionPool, close: Callable[[], Awaitable[None]]) -> Connector:
    def make() -> AbstractConnection:
        connection: AbstractConnection = pool.make_connection()
        return connection

    return Connector(make, close)


async def _nothing() -> None:
    """What there is to close without sentinels."""


def _common(url: StoreUrl, database: str) -> dict[str, Any]:
    number = database.strip("/") or "0"
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise StoreRefused(f"{url} names database {number!r}, which is not a number")
    # no time limit of its own: the lane has them
    return {"db": int(number), "socket_timeout": None, "protocol": 2, "retry": None, "client_name": "cnr"}


def _login(user: str, password: str) -> dict[str, Any]:
    return {name: value for name, value in (("username", user), ("password", password)) if value}


def _tls(options: dict[str, str]) -> dict[str, str]:
    return {_TLS_OPTIONS[name]: value for name, value in options.items() if name in _TLS_OPTIONS}
