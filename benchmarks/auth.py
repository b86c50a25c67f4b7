"""What asking for rights costs: a manifest by tag, anonymous, with a bearer token and with a password, in one run.

Bars, as ratios to anonymous on an open server: bearer 0.7, basic 0.5; with 10,000 users and 50,000 roles at most a
tenth less. Counted is processor time of the server for each answer, which other work on the machine does not change.
"""

import asyncio
import base64
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import bcrypt
import httpx
from artifacts import OCI, put_manifest, upload
from cpu import seconds_of
from servers import cnr
from wrk import rate

from cnr.app import access_control, open_registry
from cnr.config import Config
from cnr.domain.account import Path as AccountPath
from cnr.domain.account import UserName
from cnr.store import keys, records
from cnr.store.base import ABSENT
from cnr.store.records import PolicyRecord, UserRecord

USERS, ROLES = 10_000, 5
ROUNDS, SECONDS = 7, 2
PASSWORD = "correct horse"
BARS = {"bearer": 0.7, "basic": 0.5}
MANIFEST = "/v2/{}/bench/manifests/one"


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        with cnr(folder, workers=1) as (address, _):
            fill(address)
        asyncio.run(first_users(folder))
        small = ratios(folder, "")
        asyncio.run(many_users(folder))
        large = ratios(folder, f", {USERS:,} users")
        for name in BARS:
            ratio = large[name] / small[name]
            print(f"{name} with {USERS:,} users and {USERS * ROLES:,} roles: {ratio:.2f} of the rate with one user")


def ratios(folder: Path, what: str) -> dict[str, float]:
    """The rate beside the open server's, by how the caller shows who he is: medians of rounds.

    Both servers run on the same packages; in a round each way has a turn, right after one another.
    """
    with cnr(folder, workers=1) as opened, cnr(folder, workers=1, CNR_AUTH="authenticated") as closed:
        ways = {"open server": Way(*opened, "private", {}), **ways_of(*closed)}
        rounds = [{name: way.cost() for name, way in ways.items()} for _ in range(ROUNDS)]
    medians: dict[str, float] = {}
    for name in ways:
        found = sorted(each["open server"] / each[name] for each in rounds)
        medians[name], bar = median(found), BARS.get(name)
        verdict = "" if bar is None else f"bar {bar:g}: {'met' if medians[name] >= bar else 'MISSED'}"
        cost = median(each[name] for each in rounds) * 1e6
        spread = f"({found[0]:.2f} to {found[-1]:.2f})"
        print(f"{name + what:<28} {cost:6.1f} us an answer  {medians[name]:5.2f} {spread} {verdict}", flush=True)
    return medians


def ways_of(address: str, pid: int) -> dict[str, "Way"]:
    """How one asks a server with accounts."""
    basic = {"Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
    scope = {"scope": "repository:private/bench:pull"}
    token = httpx.get(f"{address}/token", params=scope, headers=basic).json()["token"]
    return {
        "anonymous, public": Way(address, pid, "public", {}),
        "bearer": Way(address, pid, "private", {"Authorization": f"Bearer {token}"}),
        "basic": Way(address, pid, "private", basic),
    }


@dataclass
class Way:
    """One way to ask for a manifest."""

    address: str
    pid: int
    namespace: str
    headers: Mapping[str, str]

    def cost(self) -> float:
        """The server's processor time for one answer, in seconds."""
        url = self.address + MANIFEST.format(self.namespace)
        before = seconds_of(self.pid)
        answers = rate(url, seconds=SECONDS, accept=OCI, headers=self.headers) * SECONDS
        return (seconds_of(self.pid) - before) / answers


def fill(address: str) -> None:
    """Push the same artifact to a repository of each namespace."""
    with httpx.Client(base_url=address, timeout=60) as http:
        for namespace in ("public", "private"):
            upload(http, f"{namespace}/bench", b"{}")
            layer = upload(http, f"{namespace}/bench", os.urandom(1000))
            put_manifest(http, f"{namespace}/bench", "one", [layer])


async def first_users(folder: Path) -> None:
    """One user with a role, and what anybody may pull."""
    async with open_registry(Config.load({"DATABASE_URL": str(folder / "data")})) as registry:
        control = access_control(registry)
        await control.accounts.add_user(UserName("alice"), await control.passwords.hash(PASSWORD))
        await control.accounts.grant("user", "alice", AccountPath("private"), "reader")
        await registry.policies.change("public", lambda _: PolicyRecord(visibility="public"))
        await control.close()


async def many_users(folder: Path) -> None:
    """USERS more of them, each with ROLES roles in namespaces of which all have visibility of their own."""
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    async with open_registry(Config.load({"DATABASE_URL": str(folder / "data")})) as registry:
        store, new_id = registry.core.records, registry.core.new_id
        for number in range(USERS):
            grants = {AccountPath(f"ns{(number * ROLES + each) % 5000}"): "writer" for each in range(ROLES)}
            user = UserRecord(born=new_id(), password=stored, password_id=new_id(), created_at=1, grants=grants)  # type: ignore[arg-type]
            await store.put(keys.user(f"user{number}"), records.encode(user), expect=ABSENT, durable=False)


if __name__ == "__main__":
    main()
