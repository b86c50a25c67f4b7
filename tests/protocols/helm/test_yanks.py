"""Yanked releases: pulled by their exact version, chosen by nobody."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.protocols.helm.client import Tenant, chart_file
from tests.protocols.helm.programs import Helm, require


def cnr(tenant: Tenant, method: str, path: str, **options: object) -> httpx.Response:
    url = f"/cnr/api/v1/packages/{tenant.name}{path}"
    return tenant.http.request(method, url, **options)  # type: ignore[arg-type]


@pytest.fixture
def yanked(tenant: Tenant) -> Tenant:
    """1.0.0 and 1.1.0, which is yanked."""
    for version in ("1.0.0", "1.1.0"):
        assert tenant.push(chart_file("app", version)).status_code == 201
    answer = cnr(tenant, "POST", "/app/1.1.0/yank", json={"reason": "loses\x1b data"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "status": "yanked",
        "package": f"{tenant.name}/app",
        "release": "1.1.0",
        "reason": "loses data",
    }
    return tenant


def test_it_is_pulled_by_its_exact_version(yanked: Tenant) -> None:
    data = chart_file("app", "1.1.0")
    assert yanked.get("charts/app-1.1.0.tgz").content == data
    assert cnr(yanked, "GET", "/app/1.1.0/helm/pull").content == data
    digest = cnr(yanked, "GET", "/app/1.1.0/helm").json()["content"]["digest"]
    assert cnr(yanked, "GET", f"/app/blobs/sha256/{digest}").content == data
    assert yanked.oci("app").get("manifests/1.1.0").status_code == 200


def test_nobody_chooses_it(yanked: Tenant) -> None:
    assert yanked.versions("app") == ["1.0.0"]
    assert yanked.oci("app").tags() == ["1.0.0"]
    for query in ("default", "^1", "*"):
        assert cnr(yanked, "GET", f"/app/{query}/helm").json()["release"] == "1.0.0"
    [item] = yanked.http.get("/cnr/api/v1/packages", params={"namespace": yanked.name}).json()
    assert (item["default"], item["releases"]) == ("1.0.0", ["1.0.0"])
    assert yanked.http.get(yanked.api("charts/app/latest")).json()["version"] == "1.0.0"


def test_who_asks_is_told(yanked: Tenant) -> None:
    shown = yanked.http.get(yanked.api("charts/app/1.1.0")).json()
    assert (shown["version"], shown["removed"], shown["deprecated"]) == ("1.1.0", True, True)
    included = yanked.get("index.yaml?yanked=include").json()["entries"]["app"]
    assert [(each["version"], each.get("removed", False)) for each in included] == [("1.1.0", True), ("1.0.0", False)]
    assert yanked.get("index.yaml?yanked=no").status_code == 400


def test_it_is_taken_back(yanked: Tenant) -> None:
    assert cnr(yanked, "DELETE", "/app/1.1.0/yank").json()["status"] == "restored"
    assert yanked.versions("app") == ["1.1.0", "1.0.0"]
    assert "removed" not in yanked.index()["entries"]["app"][0]
    assert cnr(yanked, "GET", "/app/default/helm").json()["release"] == "1.1.0"
    assert yanked.get("index.yaml?yanked=include").json()["entries"] == yanked.index()["entries"]


def test_a_channel_that_points_at_it_still_does(yanked: Tenant) -> None:
    assert cnr(yanked, "POST", "/app/channels/stable/1.1.0").status_code == 200
    assert cnr(yanked, "GET", "/app/channels/stable").json()["current"] == "1.1.0"


def test_a_push_over_it_leaves_it_yanked(yanked: Tenant) -> None:
    assert yanked.push(chart_file("app", "1.1.0", description="other"), "?force").status_code == 201
    assert yanked.versions("app") == ["1.0.0"]
    assert yanked.get("charts/app-1.1.0.tgz").content == chart_file("app", "1.1.0", description="other")
    assert yanked.delete("app", "1.1.0").status_code == 200
    assert yanked.push(chart_file("app", "1.1.0")).status_code == 201
    assert yanked.versions("app") == ["1.1.0", "1.0.0"]


def test_a_package_of_which_all_is_yanked(yanked: Tenant) -> None:
    assert cnr(yanked, "POST", "/app/1.0.0/yank").status_code == 200
    assert yanked.index()["entries"] == {}
    assert yanked.http.get("/cnr/api/v1/packages", params={"namespace": yanked.name}).json() == []
    assert cnr(yanked, "GET", "/app/1.0.0/helm/pull").content == chart_file("app", "1.0.0")
    assert cnr(yanked, "DELETE", "/app/1.0.0/yank").status_code == 200
    [item] = yanked.http.get("/cnr/api/v1/packages", params={"namespace": yanked.name, "media_type": "helm"}).json()
    assert item["releases"] == ["1.0.0"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/app/9.9.9/yank", 404), ("/nobody/1.0.0/yank", 404), ("/app/1/yank", 422), ("/A/1.0.0/yank", 400)],
)
def test_what_cannot_be_yanked(yanked: Tenant, path: str, status: int) -> None:
    assert cnr(yanked, "POST", path).status_code == status
    assert cnr(yanked, "DELETE", path).status_code == status
    assert cnr(yanked, "POST", "/app/1.0.0/yank", json={"reason": "x" * 1001}).status_code == 400


@pytest.mark.parametrize("program", ["helm3", "helm4"])
def test_helm_does_not_choose_it(yanked: Tenant, program: str, tmp_path: Path) -> None:
    helm = Helm(require(program), tmp_path / "home")
    helm("repo", "add", "ours", str(yanked.http.base_url).rstrip("/") + yanked.path(""))
    oci = f"oci://{yanked.http.base_url.netloc.decode()}/{yanked.name}/app"
    for number, source in enumerate((["ours/app"], [oci, "--plain-http"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        helm("pull", *source, "--version", "^1.0", "--destination", folder)
        assert [file.name for file in folder.iterdir()] == ["app-1.0.0.tgz"]
    helm("pull", oci, "--plain-http", "--version", "1.1.0", "--destination", tmp_path)
    assert (tmp_path / "app-1.1.0.tgz").read_bytes() == chart_file("app", "1.1.0")


def test_the_command(yanked: Tenant) -> None:
    reference = f"{yanked.http.base_url.netloc.decode()}/{yanked.name}/app@1.0.0"

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "cnr.cli.main", "yank", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert run(reference, "--reason", "too old") == f"{yanked.name}/app 1.0.0 yanked: too old\n"
    assert yanked.versions("app") == []
    assert json.loads(run(reference, "--undo", "--output", "json"))["status"] == "restored"
    assert yanked.versions("app") == ["1.0.0"]
