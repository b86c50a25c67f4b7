"""What an error of etcd or of gRPC says about the request: was it done, and what can be done."""

from enum import Enum
from typing import Any, Final


class RevisionGone(Exception):
    """A read at a revision that is compacted, or does not exist yet."""


class SpaceExceeded(Exception):
    """etcd's quota is used up. The write may have been applied nevertheless: read the key."""


class TooLarge(Exception):
    """The request is larger than this etcd takes (--max-request-bytes). Nothing was written."""


class Fault(Enum):
    """What is known about a call that failed."""

    UNSENT = "it was certainly not handled; another endpoint may take it"
    LOST = "it may have been handled or not"
    LOGIN = "not handled: the token is unknown; log in and send it again"
    DENIED = "not handled: the user may not do this"
    TOO_LARGE = "not handled: larger than this etcd takes"
    NO_SPACE = "may have been handled although etcd says that its quota is used up"
    COMPACTED = "the revision is no longer kept"
    FUTURE = "the revision does not exist yet"


_WORDS: Final = {
    "etcdserver: no leader": Fault.UNSENT,
    "etcdserver: too many requests": Fault.UNSENT,
    "etcdserver: invalid auth token": Fault.LOGIN,
    "etcdserver: user name is empty": Fault.LOGIN,
    "etcdserver: revision of auth store is old": Fault.LOGIN,
    "auth: revision in header is old": Fault.LOGIN,
    "etcdserver: permission denied": Fault.DENIED,
    "etcdserver: authentication failed, invalid user ID or password": Fault.DENIED,
    "etcdserver: authentication is not enabled": Fault.DENIED,
    "etcdserver: request is too large": Fault.TOO_LARGE,
    "etcdserver: mvcc: database space exceeded": Fault.NO_SPACE,
    "etcdserver: mvcc: required revision has been compacted": Fault.COMPACTED,
    "etcdserver: mvcc: required revision is a future revision": Fault.FUTURE,
}
"""etcd's own words, api/v3rpc/rpctypes/error.go. `no leader` is certain because every call asks for it (`hasleader`):
then it is checked before the request is handled. `database space exceeded` is not: of a write that passes the quota
etcd applies it first and then says so (etcd-io/etcd#16659)."""
_UNCONNECTED: Final = "failed to connect to all addresses"
"""gRPC's words for a call that never found a connection. Should they change, it counts as LOST, which is safe."""


def fault_of(exc: Any) -> Fault:
    """What a grpc.aio.AioRpcError means. What is not known to be harmless is LOST."""
    details = exc.details() or ""
    if details.startswith(_UNCONNECTED):
        return Fault.UNSENT
    return _WORDS.get(details, Fault.LOST)
