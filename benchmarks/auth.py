"""What asking for rights costs: a manifest by tag, anonymous, with a bearer token and with a password, in one run.

Bars, as ratios to anonymous on an open server: bearer 0.7, basic 0.5; with 10,000 users and 50,000 roles at most a
tenth less. Counted is processor time of the server for each answer, which other work on the machine does not change.
"""

import asyncio
import base64
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

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
PASSWORD = "correct horse"
BARS = {"bearer": 0.7, "basic": 0.5}
MANIFEST = "/v2/{}/bench/manifests/one"


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        with cnr(folder, workers=1) as (address, pid):
            fill(address)
            opened = cost(address + MANIFEST.format("private"), pid, {})
        print(f"{'open server':<28} {opened * 1e6:6.1f} us an answer")
        asyncio.run(first_users(folder))
        small = authenticated(folder, opened, "")
        asyncio.run(many_users(folder))
        large = authenticated(folder, opened, f", {USERS:,} users")
        for name in BARS:
            ratio = small[name] / large[name]
            print(f"{name} with {USERS:,} users and {USERS * ROLES:,} roles: {ratio:.2f} of the rate with one user")


def authenticated(folder: Path, opened: float, what: str) -> dict[str, float]:
    """Seconds of processor time for an answer, by how the caller shows who he is."""
    found: dict[str, float] = {}
    with cnr(folder, workers=1, CNR_AUTH="authenticated") as (address, pid):
        basic = {"Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
        scope = {"scope": "repository:private/bench:pull"}
        token = httpx.get(f"{address}/token", params=scope, headers=basic).json()["token"]
        ways: Mapping[str, tuple[str, Mapping[str, str]]] = {
            "anonymous, public": ("public", {}),
            "bearer": ("private", {"Authorization": f"Bearer {token}"}),
            "basic": ("private", basic),
        }
        for name, (namespace, headers) in ways.items():
            found[name] = cost(address + MANIFEST.format(namespace), pid, headers)
            ratio = opened / found[name]
            bar = BARS.get(name)
            verdict = "" if bar is None else f"bar {bar:g}: {'met' if ratio >= bar else 'MISSED'}"
            print(f"{name + what:<28} {found[name] * 1e6:6.1f} us an answer  {ratio:5.2f} of the open rate  {verdict}")
    return found


def cost(url: str, pid: int, headers: Mapping[str, str]) -> float:
    """The server's processor time for one answer, in seconds: the least of three runs."""
    rate(url, seconds=1, accept=OCI, headers=headers)
    return min(_cost(url, pid, headers) for _ in range(3))


def _cost(url: str, pid: int, headers: Mapping[str, str]) -> float:
    seconds, before = 4, seconds_of(pid)
    answers = rate(url, seconds=seconds, accept=OCI, headers=headers) * seconds
    return (seconds_of(pid) - before) / answers


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
