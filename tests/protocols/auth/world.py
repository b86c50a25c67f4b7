"""A registry with accounts: who is in it, what he shows, and packages that some of them may see."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import bcrypt
import httpx
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import Oci

from cnr.app import access_control, open_registry
from cnr.auth.access_control import AccessControl
from cnr.auth.bearer import Bearer, Caller
from cnr.auth.scopes import Scope
from cnr.config import Config
from cnr.domain import account
from cnr.domain.account import ScopePath, UserName
from cnr.registry.registry import Registry
from cnr.store.records import PolicyRecord

T = TypeVar("T")
PASSWORD = "correct horse battery"

PUBLIC, PRIVATE, MISSING = "open/app", "team/app", "team/none"
PLACES = {"public": PUBLIC, "private": PRIVATE, "missing": MISSING}
USERS = {
    "root": None,
    "rita": ("team", "reader"),
    "will": ("team", "writer"),
    "otto": ("other", "admin"),
    "tess": ("team", "admin"),
    "wren": None,
}


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class World:
    """One server over one store, whose accounts tests may also change from beside it."""

    server: Server
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path, *, entry: str = "uvicorn", workers: int = 1, **env: str) -> "World":
        server = Server(
            folder, entry=entry, workers=workers, env={"CNR_AUTH": "authenticated", "CNR_LOGIN_FAILURES": "0", **env}
        )
        world = cls(server.start())
        try:
            world.headers = world.on_store(_people)
            with world.http() as http:
                for repository in (PUBLIC, PRIVATE):
                    http.headers.update(basic("root"))
                    assert Oci(http, repository).chart("1.0.0").status_code == 201
        except BaseException:
            server.kill()
            raise
        return world

    def http(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.server.url, timeout=60, headers=headers)

    def on_store(self, work: Callable[[Registry, AccessControl], Awaitable[T]]) -> T:
        """What `work` does on the store itself, as the verbs of the command line do."""

        async def run() -> T:
            config = Config.load(self.server.settings)
            async with open_registry(config) as registry:
                control = access_control(registry)
                try:
                    return await work(registry, control)
                finally:
                    await control.close()

        return asyncio.run(run())

    def token(self, who: Mapping[str, str], *scopes: str) -> str:
        with self.http() as http:
            answer = http.get("/token", params={"service": "x", "scope": list(scopes)}, headers=dict(who))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


async def _people(registry: Registry, control: AccessControl) -> dict[str, Mapping[str, str]]:
    # Cheap to check: thousands of requests come. What users get is argon2id, which others of these tests try.
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    for name, role in USERS.items():
        await control.accounts.add_user(UserName(name), stored, admin=name == "root")
        if role is not None:
            await control.accounts.grant("user", name, account.parse_path(role[0]), role[1])  # type: ignore[arg-type]
    await registry.policies.change("open", lambda _: PolicyRecord(visibility="public"))
    scopes = {ScopePath("team/app"): account.parse_rights(["pull"])}
    _, narrow = await control.tokens.make("narrow", scopes, lifetime_s=None, created_by="test")
    revoked_id, revoked = await control.tokens.make("gone", scopes, lifetime_s=None, created_by="test")
    await control.tokens.remove(revoked_id)
    return {
        "anonymous": {},
        "wrong password": basic("wren", "wrong"),
        "expired token": bearer(await expired(registry, control)),
        "revoked token": bearer(revoked),
        "reader": basic("rita"),
        "writer": basic("will"),
        "other's admin": basic("otto"),
        "team's admin": basic("tess"),
        "narrow robot": bearer(narrow),
        "admin": basic("root"),
    }


async def expired(registry: Registry, control: AccessControl) -> str:
    """A token that was good for everything in team/app until some minutes ago."""
    core = registry.core
    await control.bearers.issue(None, ())  # so that there is a key
    early = Bearer(core.records, core.updater, lambda: core.clock() - 600_000_000)
    root = await control.accounts.user("root")
    assert root is not None
    caller = Caller("user", "root", root.record.born, root.version)
    token, _ = await early.issue(caller, (Scope("repository", "team/app", ("delete", "pull", "push")),))
    return token


def code(answer: httpx.Response) -> str:
    body: Any = json.loads(answer.content)
    return str(body["errors"][0]["code"] if "errors" in body else body["error"]["code"])
