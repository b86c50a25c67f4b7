"""Whether a redis can keep records, and what it guarantees as it is set up."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from cnr.domain.errors import StoreUnavailable
from cnr.domain.store_url import StoreUrl
from cnr.store.base import Fact, StoreRefused

Ask = Callable[..., Awaitable[Any]]
"""Sends a command and returns the answer."""
OLDEST: Final = 6
"""The first major version whose scripts are replicated by what they did."""
_DURABLE: Final = {
    "always": "an acknowledged write survives a power loss",
    "everysec": "an acknowledged write survives the end of redis; a power loss takes up to a second of writes",
    "no": "an acknowledged write survives the end of redis; a power loss takes what the kernel had not written yet",
}


async def info(ask: Ask) -> Mapping[str, str]:
    """What INFO says, all sections in one. Raises StoreUnavailable, RedisError."""
    lines = (await ask("INFO", "everything")).decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


async def check_engine(url: StoreUrl, ask: Ask) -> None:
    """Raises StoreRefused for an engine that cannot keep the contract, StoreUnavailable where none answers."""
    try:
        found = await info(ask)
    except StoreUnavailable as exc:
        reason = exc.__cause__ and exc.__cause__.__cause__  # what became of the connection
        if isinstance(reason, AuthenticationError | AuthorizationError | ResponseError):
            raise StoreRefused(f"{url} refuses this server: {reason}") from exc
        raise StoreUnavailable(f"{url} cannot be used: {exc}") from exc
    except RedisError as exc:
        raise StoreRefused(f"{url} refuses this server: {exc}") from exc
    version = found.get("redis_version", "0")
    if found.get("cluster_enabled") == "1":
        raise StoreRefused(f"{url} is a redis cluster, which cannot change several keys at once; use a single redis")
    if int(version.partition(".")[0]) < OLDEST:
        raise StoreRefused(f"{url} is redis {version}; this needs {OLDEST}.0 or newer")
    policy = found.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise StoreRefused(
            f"{url} may throw records away when its memory is full (maxmemory-policy {policy}); set it to noeviction"
        )
    if found.get("role") != "master":
        raise StoreRefused(f"{url} is a replica; use the address of the primary, or redis+sentinel://")


async def facts(ask: Ask) -> Sequence[Fact]:
    """What `cnr storage check` shows. Raises StoreUnavailable."""
    try:
        found = await info(ask)
    except RedisError as exc:
        raise StoreUnavailable(f"redis answered {exc}") from exc
    sync = await _setting(ask, "appendfsync")
    return [
        Fact("engine", f"redis {found.get('redis_version', '?')}"),
        _persistence(found, sync),
        _memory(found),
        Fact("eviction", found.get("maxmemory_policy", "unknown")),
        _replicas(found),
    ]


async def _setting(ask: Ask, name: str) -> str | None:
    """A setting of redis; None where it does not tell, as hosted ones do not."""
    try:
        found = await ask("CONFIG", "GET", name)
    except RedisError:
        return None
    return found[1].decode() if len(found) == 2 else None


def _persistence(found: Mapping[str, str], sync: str | None) -> Fact:
    if found.get("aof_enabled") != "1":
        kept = "none but snapshots: the end of redis loses what came after the last one"
        return Fact("durability", kept, "set appendonly to yes, or acknowledged pushes can be lost")
    if sync is None:
        return Fact("durability", "an append-only file; redis does not tell how often it is synced")
    warning = "" if sync == "always" else "set appendfsync to always if no acknowledged push may be lost"
    return Fact("durability", f"appendfsync {sync}: {_DURABLE.get(sync, 'unknown')}", warning)


def _memory(found: Mapping[str, str]) -> Fact:
    used, most = int(found.get("used_memory", 0)), int(found.get("maxmemory", 0))
    if most == 0:
        return Fact("memory", f"{used:,} bytes used", "set maxmemory, or redis may take all that the machine has")
    warning = "redis is almost full: pushes will be refused" if used > most * 0.9 else ""
    return Fact("memory", f"{used:,} of {most:,} bytes used", warning)


def _replicas(found: Mapping[str, str]) -> Fact:
    count = int(found.get("connected_slaves", 0))
    if not count:
        return Fact("replicas", "none")
    least = found.get("min_slaves_good_slaves")
    value = f"{count}; a fail-over may lose writes that a replica did not have yet"
    warning = "" if least is not None else "set min-replicas-to-write, so that a cut-off primary takes no more writes"
    return Fact("replicas", value, warning)
