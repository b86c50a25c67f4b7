"""What an operator wants to know of the cluster, and what is said when a server starts."""

from dataclasses import dataclass
from typing import Final

from aetcd import rpc

from cnr.domain.errors import StoreTrouble
from cnr.store.base import StoreRefused
from cnr.store.etcd_cluster import Cluster

OLDEST: Final = (3, 4)
HISTORY_MOST: Final = 250_000
"""Revisions kept above which nobody seems to compact. etcd does not say whether --auto-compaction-retention is set."""


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint, as it describes itself. Sizes are bytes of its database file, and what is in use of that."""

    endpoint: str
    version: str
    size: int
    size_in_use: int
    leads: bool


@dataclass(frozen=True, slots=True)
class State:
    """The cluster. `alarms` are names as NOSPACE; `history` counts the revisions that are kept."""

    members: tuple[Member, ...]
    silent: tuple[str, ...]
    voters: int
    alarms: tuple[str, ...]
    history: int


async def check_server(cluster: Cluster) -> None:
    """Raises StoreRefused for an etcd that is too old, StoreUnavailable."""
    version = (await cluster.read("Status", rpc.StatusRequest())).version
    numbers = version.split(".")
    if len(numbers) < 2 or not all(part.isdigit() for part in numbers[:2]) or tuple(map(int, numbers[:2])) < OLDEST:
        raise StoreRefused(f"{cluster.address} is version {version or 'unknown'}; at least 3.4 is needed")


async def state(cluster: Cluster) -> State:
    """What the endpoints say now. Raises StoreUnavailable where none answers."""
    answers = await cluster.ask_each("Status", rpc.StatusRequest())
    members = [
        Member(endpoint.target, said.version, said.dbSize, said.dbSizeInUse, said.leader == said.header.member_id)
        for endpoint, said in answers
        if said is not None
    ]
    silent = [endpoint.target for endpoint, said in answers if said is None]
    found = await cluster.read("Range", rpc.RangeRequest(key=f"{cluster.address.prefix}/feed".encode("ascii")))
    kept_from = await cluster.compacted(f"{cluster.address.prefix}/feed".encode("ascii"))
    return State(
        tuple(members), tuple(silent), await _voters(cluster), await _alarms(cluster), found.header.revision - kept_from
    )


async def warnings(cluster: Cluster) -> list[str]:
    """Sentences about what an operator has to mend. Raises StoreUnavailable."""
    now = await state(cluster)
    found = [f"{endpoint} does not answer" for endpoint in now.silent]
    if "NOSPACE" in now.alarms:
        found.append("it is out of space (alarm NOSPACE) and refuses writes")
    if "CORRUPT" in now.alarms:
        found.append("a member's data differ from the others' (alarm CORRUPT)")
    if now.history > HISTORY_MOST:
        found.append(
            f"{now.history} revisions are kept, so nobody seems to compact: set --auto-compaction-retention, "
            "or the quota will be used up by the past"
        )
    return found


async def _voters(cluster: Cluster) -> int:
    """Members that vote; 0 where the user may not ask."""
    try:
        return sum(not each.isLearner for each in (await cluster.read("MemberList", rpc.MemberListRequest())).members)
    except StoreTrouble:
        return 0


async def _alarms(cluster: Cluster) -> tuple[str, ...]:
    """Names of alarms that are on; none where the user may not ask."""
    try:
        answer = await cluster.read("Alarm", rpc.AlarmRequest(action=rpc.AlarmRequest.GET, alarm=rpc.NONE))
    except StoreTrouble:
        return ()
    return tuple(sorted({rpc.AlarmType.Name(each.alarm) for each in answer.alarms}))
