"""Push, force, delete, yank and each channel for roles of their own: one table over all protocols, with no way around.

Every row is tried by a writer, where the rule keeps it for maintainers: it is refused and leaves everything as it was.
Then by a maintainer, who may; and by the writer, once the rule is taken back.
"""

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.protocols.auth.world import PASSWORD, World, basic
from tests.protocols.oci.client import MANIFEST, Oci, chart_archive, chart_manifest, digest, image

from cnr.auth.access_control import AccessControl
from cnr.domain.account import Path, UserName
from cnr.domain.names import Format
from cnr.registry.registry import Registry
from cnr.store.records import PolicyRecord

_numbers = itertools.count(1)
OTHER = b"b: 2\n"


@pytest.fixture(scope="module")
def people(world: World) -> None:
    """A writer and a maintainer of the namespace `apart`."""

    async def make(registry: Registry, control: AccessControl) -> None:
        stored = await control.passwords.hash(PASSWORD)
        for name, role in (("wilma", "writer"), ("mona", "maintainer")):
            await control.accounts.add_user(UserName(name), stored)
            await control.accounts.grant("user", name, Path("apart"), role)  # type: ignore[arg-type]

    world.on_store(make)


UNUSED = b"no manifest names this"


class Place:
    """A repository with the releases 1.0.0 and 2.0.0, and the channel `stable` at 1.0.0; the index of a chart."""

    def __init__(self, world: World, who: str) -> None:
        self.http = world.http(**basic(who))
        self.clients = [self.http]
        self.name = f"app{next(_numbers)}"
        self.repository = f"apart/{self.name}"
        self.oci = Oci(self.http, self.repository)
        self.cnr = f"/api/v1/packages/{self.repository}"

    def by(self, world: World, who: str) -> "Place":
        place = Place(world, who)
        place.name, place.repository = self.name, self.repository
        place.oci, place.cnr = Oci(place.http, self.repository), self.cnr
        self.clients.append(place.http)
        return place

    def fill(self) -> None:
        for release in ("1.0.0", "2.0.0"):
            assert self.oci.chart(release).status_code == 201
        self.oci.blob(UNUSED)
        assert self.http.post(f"{self.cnr}/channels/stable/1.0.0").status_code == 200

    def push(self, release: str, *, format: str = "helm", extra: bytes = OTHER, force: bool = False) -> httpx.Response:
        blob = base64.b64encode(chart_archive(self.name, release, extra=extra)).decode()
        return self.http.post(self.cnr, json={"release": release, "media_type": format, "blob": blob, "force": force})

    def chartmuseum(self, release: str, *, force: bool = False) -> httpx.Response:
        data = chart_archive(self.name, release, extra=OTHER)
        return self.http.post(f"/helm/api/apart/charts{'?force' if force else ''}", content=data)

    def tag_to(self, tag: str, release: str, *, by_digest: bool = False) -> httpx.Response:
        found = self.oci.get(f"manifests/{release}", headers={"accept": MANIFEST})
        if by_digest:
            answer = self.oci.put(digest(found.content), found.content, params={"tag": tag})
            return answer if answer.headers.get("oci-tag") == tag else httpx.Response(403)
        return self.oci.put(tag, found.content)

    def image_to(self, tag: str) -> httpx.Response:
        for blob in (b"{}", OTHER):
            self.oci.blob(blob)
        return self.oci.put(tag, image(OTHER))

    def state(self) -> Any:
        """All that can be seen of it."""
        tags = self.oci.get("tags/list").json()["tags"]
        return (
            {tag: self.oci.get(f"manifests/{tag}").headers["docker-content-digest"] for tag in tags},
            self.http.get(f"{self.cnr}/channels").json(),
            self.http.get(self.cnr).json(),
            self.http.get(f"/api/v1/search?q={self.name}").json(),
        )


Row = tuple[str, PolicyRecord, Callable[[Place], httpx.Response]]
PUSH = PolicyRecord(push_role="maintainer")
FORCE = PolicyRecord(force_role="maintainer")
MOVES = PolicyRecord(force_role="maintainer", immutability="none")
YANK = PolicyRecord(yank_role="maintainer")
STABLE = PolicyRecord(channels={"stable": "maintainer"})
PATTERN = PolicyRecord(channels={"st*": "maintainer", "*": "writer"})
FORMATS = PolicyRecord(formats=(Format("kpm"),))

BY_MAINTAINERS: list[Row] = [
    ("cnr push", PUSH, lambda at: at.push("3.0.0")),
    ("cnr push of a format more", PUSH, lambda at: at.push("1.0.0", format="kpm")),
    ("oci push", PUSH, lambda at: at.oci.chart("3.0.0")),
    ("oci image as a release", PUSH, lambda at: at.image_to("3.0.0")),
    ("oci push by digest", PUSH, lambda at: at.tag_to("3.0.0", "1.0.0", by_digest=True)),
    ("chartmuseum push", PUSH, lambda at: at.chartmuseum("3.0.0")),
    ("cnr force", FORCE, lambda at: at.push("1.0.0", force=True)),
    ("chartmuseum force", FORCE, lambda at: at.chartmuseum("1.0.0", force=True)),
    ("oci push over a release that may move", MOVES, lambda at: at.oci.chart("1.0.0", extra=OTHER)),
    ("oci image over a release that may move", MOVES, lambda at: at.image_to("1.0.0")),
    ("oci push by digest over one", MOVES, lambda at: at.tag_to("1.0.0", "2.0.0", by_digest=True)),
    ("cnr yank", YANK, lambda at: at.http.post(f"{at.cnr}/2.0.0/yank", json={"reason": "x"})),
    ("cnr restore", YANK, lambda at: at.http.delete(f"{at.cnr}/2.0.0/yank")),
    *(
        (f"{what} ({name})", rule, call)
        for name, rule in (("by name", STABLE), ("by pattern", PATTERN))
        for what, call in (
            ("cnr channel", lambda at: at.http.post(f"{at.cnr}/channels/stable/2.0.0")),
            ("cnr channel again", lambda at: at.http.post(f"{at.cnr}/channels/stable/1.0.0")),
            ("cnr channel without it", lambda at: at.http.delete(f"{at.cnr}/channels/stable/1.0.0")),
            ("cnr channel deleted", lambda at: at.http.delete(f"{at.cnr}/channels/stable")),
            ("oci tag", lambda at: at.tag_to("stable", "2.0.0")),
            ("oci tag by digest", lambda at: at.tag_to("stable", "2.0.0", by_digest=True)),
            ("oci tag on an image", lambda at: at.image_to("stable")),
        )
    ),
    ("oci new tag", PATTERN, lambda at: at.tag_to("staging", "2.0.0")),
    ("oci new plain tag", PATTERN, lambda at: at.image_to("staging")),
]
UNDONE = ("cnr channel again", "cnr restore")


def set_rules(world: World, place: Place, record: PolicyRecord) -> None:
    """Set the rules of one repository, as `cnr namespace set` does."""

    async def change(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change(place.repository, lambda _: record)

    world.on_store(change)


@pytest.fixture
def place(world: World, people: None) -> Iterator[Place]:
    place = Place(world, "root")
    place.fill()
    yield place
    for client in place.clients:
        client.close()


@pytest.mark.parametrize(("name", "rules", "call"), BY_MAINTAINERS, ids=[row[0] for row in BY_MAINTAINERS])
def test_a_rule_keeps_it_for_maintainers(
    world: World, place: Place, name: str, rules: PolicyRecord, call: Callable[[Place], httpx.Response]
) -> None:
    set_rules(world, place, rules)
    before = place.state()
    refused = call(place.by(world, "wilma"))
    assert refused.status_code == 403, refused.text
    assert place.state() == before
    done = call(place.by(world, "mona"))
    assert done.is_success, done.text
    assert place.state() != before or name.startswith(UNDONE)


@pytest.mark.parametrize(("name", "rules", "call"), BY_MAINTAINERS, ids=[row[0] for row in BY_MAINTAINERS])
def test_without_the_rule_a_writer_may(
    world: World, place: Place, name: str, rules: PolicyRecord, call: Callable[[Place], httpx.Response]
) -> None:
    """Or the table would prove nothing."""
    set_rules(world, place, PolicyRecord(immutability=rules.immutability))
    done = call(place.by(world, "wilma"))
    assert done.is_success, done.text


DELETES: list[tuple[str, Callable[[Place], httpx.Response]]] = [
    ("cnr", lambda at: at.http.delete(f"{at.cnr}/1.0.0/helm")),
    ("oci tag", lambda at: at.oci.call("DELETE", "manifests/1.0.0")),
    (
        "oci digest",
        lambda at: at.oci.call("DELETE", f"manifests/{at.oci.get('manifests/1.0.0').headers['docker-content-digest']}"),
    ),
    ("chartmuseum", lambda at: at.http.delete(f"/helm/api/apart/charts/{at.name}/1.0.0")),
    ("oci blob", lambda at: at.oci.call("DELETE", f"blobs/{digest(UNUSED)}")),
]


@pytest.mark.parametrize(("name", "call"), DELETES, ids=[row[0] for row in DELETES])
def test_deletes_are_kept_for_administrators(
    world: World, place: Place, name: str, call: Callable[[Place], httpx.Response]
) -> None:
    set_rules(world, place, PolicyRecord(delete_role="admin"))
    before = place.state()
    assert call(place.by(world, "wilma")).status_code == 403
    assert call(place.by(world, "mona")).status_code == 403
    assert place.state() == before
    set_rules(world, place, PolicyRecord())
    assert call(place.by(world, "wilma")).status_code == 403
    assert call(place.by(world, "mona")).is_success


def test_a_channel_is_no_path_around(world: World, place: Place) -> None:
    """OCI's DELETE of a tag takes the right to delete anyway; a rule about the channel keeps it for a higher role."""
    set_rules(world, place, PolicyRecord(channels={"stable": "admin"}))
    before = place.state()
    assert place.by(world, "mona").oci.call("DELETE", "manifests/stable").status_code == 403
    assert place.state() == before
    assert place.oci.call("DELETE", "manifests/stable").is_success


def test_a_channel_may_be_for_more_people_than_a_release(world: World, place: Place) -> None:
    set_rules(world, place, PolicyRecord(push_role="maintainer", channels={"*": "admin", "rc*": "writer"}))
    writer = place.by(world, "wilma")
    assert writer.http.post(f"{place.cnr}/channels/rc-1/2.0.0").status_code == 200
    assert writer.push("3.0.0").status_code == 403
    assert writer.http.post(f"{place.cnr}/channels/stable/2.0.0").status_code == 403
    # signatures have tags of their own, which are nobody's channels
    tag = digest(b"x").replace(":", "-") + ".sig"
    assert place.by(world, "mona").image_to(tag).status_code == 201
    assert writer.image_to(tag).status_code == 403


def _chart_image(at: Place, tag: str) -> httpx.Response:
    archive = chart_archive(at.name, "3.0.0")
    config = json.dumps({"name": at.name, "version": "3.0.0"}).encode()
    for blob in (config, archive):
        at.oci.blob(blob)
    data = chart_manifest(config, archive)
    return at.oci.put(tag or digest(data), data)


REFUSED_FORMATS: list[tuple[str, Callable[[Place], httpx.Response]]] = [
    ("cnr", lambda at: at.push("3.0.0")),
    (
        "cnr by another vendor's type",
        lambda at: at.push("3.0.0", format="application/vnd.appr.package.helm.v1.tar+gzip"),
    ),
    ("oci release", lambda at: _chart_image(at, "3.0.0")),
    ("oci other version", lambda at: _chart_image(at, "v3")),
    ("oci tag", lambda at: _chart_image(at, "stable")),
    ("oci digest", lambda at: _chart_image(at, "")),
    ("chartmuseum", lambda at: at.chartmuseum("3.0.0")),
]


@pytest.mark.parametrize(("name", "call"), REFUSED_FORMATS, ids=[row[0] for row in REFUSED_FORMATS])
def test_a_format_that_is_not_taken(
    world: World, place: Place, name: str, call: Callable[[Place], httpx.Response]
) -> None:
    """By nobody, not by administrators; and what is refused has written nothing."""
    set_rules(world, place, FORMATS)
    before = place.state()
    refused = call(place)
    assert refused.status_code == 403, refused.text
    assert "helm" in refused.text
    assert place.state() == before
    assert place.push("3.0.0", format="kpm").status_code == 200
    set_rules(world, place, PolicyRecord())
    assert call(place).is_success


def test_a_rule_of_the_namespace_holds_in_it(world: World, place: Place) -> None:
    async def change(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change("apart", lambda before: PolicyRecord(force_role="maintainer"))

    async def back(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change("apart", lambda before: PolicyRecord())

    world.on_store(change)
    try:
        assert place.by(world, "wilma").push("1.0.0", force=True).status_code == 403
        set_rules(world, place, PolicyRecord(force_role="writer"))
        assert place.by(world, "wilma").push("1.0.0", force=True).status_code == 200
    finally:
        world.on_store(back)


def test_a_robot_is_asked_by_its_rights(world: World, place: Place) -> None:
    set_rules(world, place, PolicyRecord(force_role="maintainer"))
    for rights, status in ((["pull", "push"], 403), (["pull", "push", "delete"], 200)):
        made = place.http.post("/api/v1/admin/tokens", json={"name": "ci", "scopes": {"apart/*": rights}})
        robot = place.by(world, "wilma")
        robot.http.headers["Authorization"] = f"Bearer {made.json()['token']}"
        assert robot.push("1.0.0", force=True).status_code == status


@pytest.mark.parametrize("who", ["wilma", "mona", "root", "anybody"])
def test_another_s_upload_is_not_there(world: World, place: Place, who: str) -> None:
    """Source: shared design, "upload session IDOR"."""
    owner = place.by(world, "will" if who == "anybody" else "otto")
    if who != "anybody":
        place.http.put("/api/v1/admin/users/otto/roles/apart", json={"role": "writer"})
    else:
        place.http.put("/api/v1/admin/users/will/roles/apart", json={"role": "writer"})
    upload = owner.oci.begin()
    assert owner.http.patch(upload, content=b"abc").status_code == 202
    other = place.by(world, who if who != "anybody" else "rita")
    if who == "anybody":
        other.http.headers.pop("Authorization")
    known = digest(b"{}")
    for method, options in (
        ("GET", {}),
        ("PATCH", {"content": b"evil"}),
        ("PUT", {"params": {"digest": digest(b"abc")}}),
        ("PUT", {"params": {"digest": known}}),
        ("DELETE", {}),
    ):
        refused = other.http.request(method, upload, **options)
        assert refused.status_code == (401 if who == "anybody" else 404), (method, refused.text)
    assert owner.http.put(upload, params={"digest": digest(b"abc")}).status_code == 201
    # the end may be repeated by whoever began it, and by nobody else is it told from none
    assert owner.http.put(upload, params={"digest": digest(b"abc")}).status_code == 201


def test_lists_tell_who_may_pull(world: World, http: httpx.Client, place: Place) -> None:
    set_rules(world, place, PolicyRecord(visibility="public"))
    found = {item["name"]: item["visibility"] for item in place.http.get("/api/v1/packages").json()}
    assert (found["open/app"], found["team/app"], found[place.repository]) == ("public", "private", "public")
    public = http.get("/api/v1/packages").json()
    assert {item["visibility"] for item in public} == {"public"}
