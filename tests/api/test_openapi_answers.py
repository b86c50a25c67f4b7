"""Every documented status of every operation can happen, and then looks as documented. All routes are documented."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as Folder
from typing import Any, Literal

import bcrypt
import httpx
import jsonschema_rs
import pytest
from starlette.types import ASGIApp
from tests.faults.faulty import Fault, FaultyRecords, Plan
from tests.legacy.old_server import OldServer, archive, tar_digest
from tests.legacy.registries import registry_in_memory

from cnr.api import cnr as cnr_api
from cnr.api.cnr_fields import FieldReader
from cnr.api.cnr_site import Site
from cnr.api.openapi import document
from cnr.api.openapi_operations import OPERATIONS
from cnr.app import access_control
from cnr.auth import bearer
from cnr.auth.access_control import AccessControl
from cnr.auth.authority import OpenAuthority
from cnr.auth.caller import Caller
from cnr.auth.gate import Gate, read_only
from cnr.domain.access import Access, Grant
from cnr.domain.account import GroupName, Path, Role, ScopePath, UserName, parse_rights
from cnr.domain.audit import OPEN, Who
from cnr.domain.digest import sha256
from cnr.domain.limits import Limits
from cnr.domain.names import Channel, Format, PackageName
from cnr.domain.version import Release
from cnr.http.adapter import Adapter
from cnr.http.admission import Admission, Rate
from cnr.http.fields import BodyLimits
from cnr.registry.core import Bytes
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.base import ABSENT, RecordStore
from cnr.store.records import GroupRecord, PlainTag, Pointer, UserRecord, encode

DOCUMENT = document(OPERATIONS)
PACKAGE = PackageName("ns", "app")
FILE = archive("one")
VALUES = {
    "namespace": "ns",
    "name": "app",
    "release": "2.0.0",
    "media_type": "helm",
    "digest": tar_digest(FILE),
    "channel": "stable",
    "user": "alice",
    "group": "dev",
    "path": "ns",
}


@dataclass(frozen=True)
class Call:
    """A request that differs from the ordinary one; `fault` is what the store does meanwhile.

    `at`: on a server that has no accounts, that is read-only, or where the address has spent its rate.
    """

    values: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    fault: Fault | None = None
    headers: dict[str, str] = field(default_factory=dict)
    at: Literal["ordinary", "closed", "read-only", "spent"] = "ordinary"


def pushed(**fields: Any) -> dict[str, Any]:
    return {"release": "3.0.0", "media_type": "helm", "blob": OldServer.text(FILE), **fields}


LOGIN = {"user": {"username": "me", "password": "secret"}}
AMBIGUOUS = Call({"release": "1.0.0", "media_type": "-"})
SECRET = "correct horse battery"
WHY = {"reason": "loses data"}
SPECIAL: dict[tuple[str, str], Call] = {
    ("list_packages", "400"): Call(query={"limit": "0"}),
    ("search_packages", "400"): Call(query={"limit": "0"}),
    ("search_names", "503"): Call(query={"q": "a"}, fault=Fault.FAIL),
    ("push", "200"): Call(body=pushed()),
    ("push", "400"): Call(body={"release": "3.0.0"}),
    ("push", "409"): Call(body=pushed(release="2.0.0")),
    ("push", "413"): Call(body=pushed(blob=OldServer.text(archive("".join(map(str, range(3000))))))),
    ("push", "422"): Call(body=pushed(release="3.0")),
    ("push", "503"): Call(body=pushed(), fault=Fault.FAIL),
    ("push", "507"): Call(body=pushed(), fault=Fault.FULL),
    **{(name, "400"): AMBIGUOUS for name in ("show", "delete", "pull", "pull_json")},
    **{(name, "422"): Call({"release": "latest"}) for name in ("show", "pull", "pull_json")},
    ("add_to_channel", "400"): Call({"channel": "1.0.0"}),
    ("add_to_channel", "409"): Call({"channel": "taken"}),
    ("add_to_channel", "422"): Call({"release": "1.a.1"}),
    ("remove_from_channel", "200"): Call({"release": "1.0.0"}),
    ("remove_from_channel", "507"): Call({"release": "1.0.0"}, fault=Fault.FULL),
    **{(name, "400"): Call({"name": "Upper"}) for name in ("yank", "restore")},
    ("restore", "422"): Call({"release": "1"}),
    ("yank", "200"): Call(body=WHY),
    ("yank", "404"): Call({"name": "none"}, body=WHY),
    ("yank", "422"): Call({"release": "1"}, body=WHY),
    ("yank", "503"): Call(body=WHY, fault=Fault.FAIL),
    ("yank", "507"): Call(body=WHY, fault=Fault.FULL),
    ("restore", "507"): Call({"release": "0.1.0"}, fault=Fault.FULL),
    ("login", "200"): Call(body=LOGIN),
    ("login", "400"): Call(body={}),
    ("login", "413"): Call(body={"user": "x" * 20_000}),
    ("add_user", "409"): Call(body={"name": "alice", "password": SECRET}),
    ("add_group", "409"): Call(body={"name": "dev"}),
    ("change_user", "409"): Call({"user": "root"}, body={"admin": False}),
    ("remove_user", "409"): Call({"user": "root"}),
    **{(f"give_role_to_{kind}", "409"): Call({kind: "full"}, body={"role": "writer"}) for kind in ("user", "group")},
}
BODIES: dict[str, Any] = {
    "change_own_password": {"old": SECRET, "new": SECRET + "!"},
    "add_user": {"name": "bob", "password": SECRET},
    "change_user": {"admin": True},
    "give_role_to_user": {"role": "writer"},
    "give_role_to_group": {"role": "writer"},
    "add_group": {"name": "ops"},
    "make_token": {"name": "ci", "scopes": {"ns/*": ["pull"]}},
    "rotate_keys": {},
    "change_policy": {"visibility": "public"},
}
"""What is sent by those who administer."""
NONE: dict[str, dict[str, str]] = {
    "join_group": {"group": "none"},
    **{
        f"{verb}_{kind}": {kind: "none"} for kind in ("user", "group", "token") for verb in ("show", "change", "remove")
    },
    **{f"{verb}_{kind}": {kind: "none"} for kind in ("user", "group") for verb in ("give_role_to", "take_role_from")},
    "leave_group": {"user": "none"},
}
"""What is not there, for a 404."""
ORDINARY = {
    "200": Call(),
    "404": Call({"name": "none"}),
    "503": Call(fault=Fault.FAIL),
    "507": Call(fault=Fault.FULL),
    "400": Call(),
    "403": Call(at="closed"),
    "405": Call(at="read-only"),
    "429": Call(at="spent"),
    "412": Call(headers={"If-Match": '"another"'}),
}
ROWS = [
    (operation["operationId"], status, method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    for status in operation["responses"]
]
PATHS = {name: path for name, _, _, path in ROWS}


class Always(dict[int, Fault]):
    """The same for every call."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def get(self, key: int, default: Any = None) -> Fault:
        return self._fault


@dataclass
class Server:
    """The API over a registry with one package, and the plan of its store."""

    app: Adapter
    plan: Plan
    registry: Registry
    others: Mapping[str, ASGIApp]
    values: dict[str, str]

    async def answer(self, method: str, path: str, call: Call) -> httpx.Response:
        url = path.format(**{**VALUES, **self.values, **call.values})
        app: ASGIApp = self.app if call.at == "ordinary" else self.others[call.at]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            if call.at == "spent":
                await client.get("/version")
            if call.fault is not None:
                self.plan.faults = Always(call.fault)
            return await client.request(method, url, params=call.query, json=call.body, headers=call.headers)


@pytest.fixture
async def server(tmp_path: Folder) -> AsyncIterator[Server]:
    plan = Plan()
    inner: list[RecordStore] = []

    def wrap(store: RecordStore) -> RecordStore:
        inner.append(store)
        return FaultyRecords(store, plan)

    async with registry_in_memory(tmp_path, limits=Limits(compressed_bytes=2000), wrap=wrap) as registry:
        await _fill(registry, inner[0])
        fields = FieldReader(BodyLimits(json=16_384), tmp_path)
        site = Site(fields, registry.ready, check=check)
        control = access_control(registry)
        try:
            values = await _people(registry, control)
            root = await control.accounts.user("root")
            assert root is not None
            caller = Caller("root", bearer.Caller("user", "root", root.record.born, root.version), admin=True)

            async def administrator(headers: Mapping[str, str], access: Access) -> Grant:
                return Grant("root", caller=caller)

            app = cnr_api.adapter(registry, fields, site, administrator, control=control)
            frozen = Gate(administrator, [read_only]).authorize
            once = Admission(address=Rate(0.001, burst_s=1.0))
            others: dict[str, ASGIApp] = {
                "closed": cnr_api.adapter(registry, fields, site, OpenAuthority().authorize),
                "read-only": cnr_api.adapter(registry, fields, site, frozen, control=control),
                "spent": cnr_api.adapter(registry, fields, site, administrator, control=control, admission=once),
            }
            yield Server(app, plan, registry, others, values)
        finally:
            await control.close()


async def _people(registry: Registry, control: AccessControl) -> dict[str, str]:
    """Users, a group and a robot token."""
    accounts = control.accounts
    # cheap to check
    stored = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
    await accounts.add_user(UserName("root"), stored, admin=True)
    await accounts.add_user(UserName("alice"), "x")
    await accounts.add_group(GroupName("dev"))
    scopes = {ScopePath("ns/*"): parse_rights(["pull"])}
    token_id, _ = await control.tokens.make("ci", scopes, lifetime_s=None, created_by="test")
    return {"token": token_id}


async def fill_up(registry: Registry) -> None:
    """A user and a group that can have no more roles."""
    full: dict[Path, Role] = {Path(f"{'n' * 100}/{at:04}"): "reader" for at in range(2300)}
    user = UserRecord(born="x", password="x", password_id="x", created_at=1, grants=full)
    records = registry.core.records
    await records.put(keys.user("full"), encode(user), expect=ABSENT)
    await records.put(keys.group("full"), encode(GroupRecord(born="x", created_at=1, grants=full)), expect=ABSENT)


async def check(name: str, password: str, address: str) -> Who:
    """Every login is good."""
    return OPEN


async def _fill(registry: Registry, records: RecordStore) -> None:
    for release, format in (("1.0.0", "helm"), ("1.0.0", "kpm"), ("2.0.0", "helm")):
        await registry.publisher.publish(PACKAGE, Release(release), Format(format), Bytes(FILE))
    await registry.publisher.publish(PACKAGE, Release("0.1.0"), Format("helm"), Bytes(FILE))
    await registry.yanks.yank(PACKAGE, Release("0.1.0"))
    await registry.channels.add(PACKAGE, Channel("stable"), "1.0.0")
    tag = PlainTag(manifest=Pointer(sha256(b""), "0" * 32))
    await records.put(keys.tag(PACKAGE.repository, "taken"), encode(tag), expect=ABSENT)


async def test_every_route_is_documented(server: Server) -> None:
    assert {(route.method, route.path) for route in server.app.router.routes} == set(OPERATIONS)


@pytest.mark.parametrize(("name", "status", "method", "path"), ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
async def test_a_documented_status_can_happen(server: Server, name: str, status: str, method: str, path: str) -> None:
    call = SPECIAL.get((name, status)) or ORDINARY[status]
    if "/admin/" in path:
        call = administering(call, name, status)
    if "full" in call.values.values():
        await fill_up(server.registry)
    answer = await server.answer(method, path, call)
    assert str(answer.status_code) == status, answer.text
    _check(DOCUMENT["paths"][path][method.lower()]["responses"][status], answer)


def administering(call: Call, name: str, status: str) -> Call:
    """The call with the body that it needs, and of what it needs."""
    if status == "400":
        values = {"path": "Upper"} if "{path}" in PATHS[name] else {}
        return dataclasses.replace(call, values=values, query={"limit": "0"}, body={"admin": "yes", "x": 1})
    values = NONE[name] if status == "404" else call.values
    return dataclasses.replace(call, values=values, body=call.body or BODIES.get(name))


def _check(response: dict[str, Any], answer: httpx.Response) -> None:
    """The answer's type, headers and body are those of the document."""
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response["content"][answer.headers["content-type"].partition(";")[0]]
    assert {name.lower() for name in response.get("headers", {})} - {"link"} <= set(answer.headers)
    if "schema" in content and "json" in answer.headers["content-type"]:
        validator = jsonschema_rs.validator_for({**content["schema"], "components": DOCUMENT["components"]})
        assert list(validator.iter_errors(answer.json())) == []
    if answer.status_code != 200:
        codes = {example["value"]["error"]["code"] for example in content["examples"].values()}
        assert answer.json()["error"]["code"] in codes


@pytest.mark.parametrize("prefix", ["", "/cnr"])
async def test_both_are_served(server: Server, prefix: str) -> None:
    found = await server.answer("GET", f"{prefix}/openapi.json", Call())
    assert found.json() == DOCUMENT
    page = await server.answer("GET", f"{prefix}/docs", Call())
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
