"""Parts of an index, by query and by channel."""

import json
from pathlib import Path

import httpx
import pytest
from tests.protocols.helm.client import Tenant, chart_file
from tests.protocols.helm.programs import Helm, require


@pytest.fixture
def filled(tenant: Tenant) -> Tenant:
    for name, version in (
        *(("app", "1.0.0"), ("app", "1.1.0"), ("app", "1.2.0-rc.1"), ("app", "1.2.0"), ("app", "2.0.0-rc.1")),
        *(("other", "0.1.0"), ("third", "0.1.0-a")),
    ):
        assert tenant.push(chart_file(name, version)).status_code == 201
    for name, version in (("app", "1.1.0"), ("other", "0.1.0")):
        point(tenant, name, "stable", version)
    return tenant


def point(tenant: Tenant, name: str, channel: str, version: str) -> None:
    path = f"/cnr/api/v1/packages/{tenant.name or 'library'}/{name}/channels/{channel}/{version}"
    assert tenant.http.post(path).status_code == 200


def shown(tenant: Tenant, path: str) -> dict[str, list[str]]:
    answer = tenant.get(path)
    assert answer.status_code == 200, answer.text
    return {name: [each["version"] for each in found] for name, found in answer.json()["entries"].items()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("index.yaml?chart=app&latest=1", {"app": ["2.0.0-rc.1", "1.2.0"]}),
        (
            "index.yaml?latest=2&chart=app,other",
            {"app": ["2.0.0-rc.1", "1.2.0", "1.2.0-rc.1", "1.1.0"], "other": ["0.1.0"]},
        ),
        ("index.yaml?chart=other&chart=nobody", {"other": ["0.1.0"]}),
        ("index.yaml?channel=stable", {"app": ["1.1.0"], "other": ["0.1.0"]}),
        ("index.yaml?channel=stable&chart=app", {"app": ["1.1.0"]}),
        ("index.yaml?channel=nobody", {}),
        ("channels/stable/index.yaml", {"app": ["1.1.0"], "other": ["0.1.0"]}),
        ("channels/nobody/index.json", {}),
        ("index.yaml?since=2000-01-01&chart=third", {"third": ["0.1.0-a"]}),
        ("index.yaml?since=2100-01-01T00:00:00%2B01:00", {}),
        ("index.yaml?unknown=1&chart=third", {"third": ["0.1.0-a"]}),
    ],
)
def test_parts(filled: Tenant, path: str, expected: dict[str, list[str]]) -> None:
    assert shown(filled, path) == expected


def test_since_a_push(filled: Tenant) -> None:
    moment = filled.index()["entries"]["third"][0]["created"]
    assert shown(filled, f"index.yaml?since={moment}") == {"third": ["0.1.0-a"]}
    assert filled.push(chart_file("app", "3.0.0")).status_code == 201
    assert shown(filled, f"index.yaml?since={moment}") == {"app": ["3.0.0"], "third": ["0.1.0-a"]}


def test_a_channel_that_moves(filled: Tenant) -> None:
    first = filled.get("channels/stable/index.yaml")
    same = filled.get("channels/stable/index.yaml", headers={"if-none-match": first.headers["etag"]})
    assert same.status_code == 304
    point(filled, "app", "stable", "1.2.0")
    assert shown(filled, "channels/stable/index.yaml")["app"] == ["1.2.0"]
    assert filled.delete("app", "1.2.0").status_code == 200
    assert shown(filled, "channels/stable/index.yaml")["app"] == ["1.1.0"]
    assert filled.get("channels/stable/charts/app-1.1.0.tgz").content == chart_file("app", "1.1.0")
    assert filled.get("channels/stable/charts/app/app-1.1.0.tgz").content == chart_file("app", "1.1.0")


def test_channels_of_charts_without_a_namespace(http: httpx.Client) -> None:
    tenant = Tenant(http, "")
    assert tenant.push(chart_file("lonely", "1.0.0")).status_code == 201
    point(tenant, "lonely", "alone", "1.0.0")
    assert shown(tenant, "channels/alone/index.yaml") == {"lonely": ["1.0.0"]}


def test_json(filled: Tenant) -> None:
    answer = filled.get("index.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == filled.get("index.yaml").content


@pytest.mark.parametrize(
    "query",
    [
        *("latest=0", "latest=x", "latest=-1", "latest=" + "9" * 5000, "since=yesterday", "since=2026-13-01"),
        *("since=2026-01-01T00:00:00", "channel=..", "channel=a/b", "chart=A", "chart=a/b", "urls=ftp"),
        "chart=" + ",".join(f"a{number}" for number in range(1001)),
    ],
)
def test_bad_queries(filled: Tenant, query: str) -> None:
    answer = filled.get(f"index.yaml?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_oci_addresses(filled: Tenant) -> None:
    assert filled.push(chart_file("app", "3.0.0+b")).status_code == 201
    [entry] = filled.get("index.yaml?urls=oci&latest=1&chart=app").json()["entries"]["app"]
    host = filled.http.base_url.netloc.decode()
    assert entry["urls"] == [f"oci://{host}/{filled.name}/app:3.0.0_b"]


@pytest.mark.parametrize("program", ["helm3", "helm4"])
def test_helm_takes_parts(filled: Tenant, program: str, tmp_path: Path) -> None:
    helm = Helm(require(program), tmp_path / "home")
    base = str(filled.http.base_url).rstrip("/") + filled.path("")
    for name, path in (("stable", "/channels/stable"), ("query", "?channel=stable")):
        helm("repo", "add", name, base + path)
        found = json.loads(helm("search", "repo", f"{name}/", "--versions", "--devel", "--output", "json"))
        assert {(each["name"], each["version"]) for each in found} == {
            (f"{name}/app", "1.1.0"),
            (f"{name}/other", "0.1.0"),
        }
        folder = tmp_path / name
        folder.mkdir()
        helm("pull", f"{name}/app", "--destination", folder)
        assert (folder / "app-1.1.0.tgz").read_bytes() == chart_file("app", "1.1.0")
    helm("repo", "add", "oci", f"{base}?urls=oci")
    (tmp_path / "oci").mkdir()
    helm("pull", "oci/app", "--version", "1.0.0", "--plain-http", "--destination", tmp_path / "oci")
    assert (tmp_path / "oci" / "app-1.0.0.tgz").read_bytes() == chart_file("app", "1.0.0")
