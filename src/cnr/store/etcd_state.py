"""What an operator wants to know of the cluster, and what is said when a server starts."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aetcd import rpc

from cnr.domain.errors import StoreTrouble
from cnr.store.base import Fact, StoreRefused
from cnr.store.etcd_address import Address
from cnr.store.etcd_cluster import Cluster

OLDEST: Final = (3, 4)
HISTORY_MOST: Final = 250_000
"""Revisions kept above which nobody seems to compact. etcd does not say whether --auto-compaction-retention is set."""
_MIB: Final = 1024 * 1024
_ALARMS: Final = {
    "NOSPACE": "etcd's quota is used up, and it refuses writes: compact, defragment, then `etcdctl alarm disarm`",
    "CORRUPT": "a member's data differ from the others': see etcd's guide to data corruption",
}


def feed_key(address: Address) -> bytes:
    """The key whose history is the feed."""
    return f"{address.prefix}feed".encode("ascii")


async def check_server(cluster: Cluster) -> None:
    """Raises StoreRefused for an etcd that is too old, StoreUnavailable."""
    version = (await cluster.read("Status", rpc.StatusRequest())).version
    numbers = version.split(".")
    if len(numbers) < 2 or not all(part.isdigit() for part in numbers[:2]) or tuple(map(int, numbers[:2])) < OLDEST:
        raise StoreRefused(f"{cluster.address} is version {version or 'unknown'}; at least 3.4 is needed")


async def facts(cluster: Cluster) -> Sequence[Fact]:
    """What the endpoints say now. Raises StoreUnavailable where none answers."""
    answers = await cluster.ask_each("Status", rpc.StatusRequest())
    return [
        Fact("survives", "power loss: a write is on the disks of a majority of members before it is acknowledged"),
        *await _members(cluster),
        *(_endpoint(endpoint.target, said) for endpoint, said in answers),
        *[fact async for fact in _alarms(cluster)],
        await _history(cluster),
        Fact("clock", "of each server: etcd has none to ask; keep the servers' clocks together (NTP)"),
    ]


def _endpoint(target: str, said: Any) -> Fact:
    if said is None:
        return Fact(f"endpoint {target}", "no answer", f"{target} does not answer")
    role = "leader" if said.leader == said.header.member_id else "follower"
    size = f"{said.dbSizeInUse / _MIB:.1f} MiB in use of a file of {said.dbSize / _MIB:.1f} MiB"
    return Fact(f"endpoint {target}", f"etcd {said.version}, {role}, {size}")


async def _members(cluster: Cluster) -> Sequence[Fact]:
    """How many vote; nothing where the user may not ask."""
    try:
        answer = await cluster.read("MemberList", rpc.MemberListRequest())
    except StoreTrouble:
        return ()
    voters = sum(not each.isLearner for each in answer.members)
    return [Fact("members", f"{voters}, of which {(voters - 1) // 2} may fail")]


async def _alarms(cluster: Cluster) -> AsyncIterator[Fact]:
    """Alarms that are on; "unknown" where the user may not ask."""
    try:
        answer = await cluster.read("Alarm", rpc.AlarmRequest(action=rpc.AlarmRequest.GET, alarm=rpc.NONE))
    except StoreTrouble:
        yield Fact("alarms", "unknown: this user may not ask")
        return
    names = sorted({rpc.AlarmType.Name(each.alarm) for each in answer.alarms})
    for name in names:
        yield Fact("alarm", name, _ALARMS.get(name, f"etcd has raised the alarm {name}"))
    if not names:
        yield Fact("alarms", "none")


async def _history(cluster: Cluster) -> Fact:
    """How much of the past is kept, with a warning where nobody seems to compact."""
    key = feed_key(cluster.address)
    now = (await cluster.read("Range", rpc.RangeRequest(key=key))).header.revision
    kept = now - await cluster.compacted(key)
    warning = (
        f"etcd keeps {kept} revisions, so nobody seems to compact: set --auto-compaction-retention, or the past will "
        "use up its quota"
    )
    return Fact("history", f"{kept} revisions are kept", warning if kept > HISTORY_MOST else "")
