"""What a person does with helm and a chart repository, with the real programs."""

import hashlib
import json
from pathlib import Path

import httpx
import pytest
import yaml
from tests.protocols.helm.client import Tenant, chart_file, helm_push, hostile_chart
from tests.protocols.helm.programs import Helm, require, signing_key


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    return Helm(require(request.param), tmp_path / "home")


@pytest.fixture
def url(tenant: Tenant) -> str:
    return str(tenant.http.base_url).rstrip("/") + tenant.path("")


def test_add_update_search_pull(helm: Helm, tenant: Tenant, url: str, tmp_path: Path) -> None:
    helm("repo", "add", "ours", url)
    versions = ("1.0.0", "1.2.0", "1.10.0+b.1", "2.0.0-rc.1", "1.10.0+a", "0.9")
    for version in versions:
        assert tenant.push(chart_file("app", version, appVersion="1.10")).status_code == 201
    assert helm_push(tenant.oci("other"), chart_file("other", "3.0.0"), "3.0.0").status_code == 201
    helm("repo", "update")
    found = json.loads(helm("search", "repo", "ours/", "--output", "json"))
    shown = {(each["name"], each["version"].partition("+")[0], each["app_version"]) for each in found}
    assert shown == {("ours/app", "1.10.0", "1.10"), ("ours/other", "3.0.0", "")}
    listed = json.loads(helm("search", "repo", "ours/app", "--versions", "--devel", "--output", "json"))
    # helm sorts again, and not stably: it takes the versions that differ in the build only in any order
    cores = [each["version"].partition("+")[0] for each in listed]
    assert cores == ["2.0.0-rc.1", "1.10.0", "1.10.0", "1.2.0", "1.0.0", "0.9"]
    for wanted, got in (("1.2.0", "1.2.0"), ("^1.0.0 <1.9.0", "1.2.0"), ("1.10.0+a", "1.10.0+a")):
        folder = tmp_path / wanted.replace(" ", "")
        folder.mkdir()
        helm("pull", "ours/app", "--destination", folder, "--version", wanted)
        assert (folder / f"app-{got}.tgz").read_bytes() == chart_file("app", got, appVersion="1.10")
    helm("pull", "ours/app", "--destination", tmp_path)
    assert len(list(tmp_path.glob("app-1.10.0+*.tgz"))) == 1
    helm("pull", "ours/app", "--version", "9.9.9", fails=True)
    helm("pull", "app", "--repo", url, "--version", "0.9", "--destination", tmp_path)
    assert (tmp_path / "app-0.9.tgz").exists()


def test_a_repository_with_nothing_can_be_added(helm: Helm, url: str) -> None:
    helm("repo", "add", "ours", url)
    helm("repo", "update")
    assert "No results" in helm("search", "repo", "ours/")


def test_template_and_dependencies(helm: Helm, tenant: Tenant, url: str, tmp_path: Path) -> None:
    template = {"templates/map.yaml": "kind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-{{ .Values.a }}\n"}
    for version in ("1.0.0", "1.1.0"):
        assert tenant.push(chart_file("lib", version, files=template)).status_code == 201
    helm("repo", "add", "ours", url)
    assert "name: x-1" in helm("template", "x", "ours/lib", "--version", "1.0.0")
    assert "name: lib" in helm("show", "chart", "ours/lib")
    app = tmp_path / "app"
    app.mkdir()
    needs = [{"name": "lib", "version": "~1.0", "repository": url}]
    (app / "Chart.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v2", "name": "app", "version": "1.0.0", "dependencies": needs})
    )
    helm("dependency", "update", app)
    assert (app / "charts" / "lib-1.0.0.tgz").read_bytes() == chart_file("lib", "1.0.0", files=template)
    (app / "charts" / "lib-1.0.0.tgz").unlink()
    helm("dependency", "build", app)
    assert (app / "charts" / "lib-1.0.0.tgz").exists()
    assert "name: y-1" in helm("template", "y", app)


def signed(helm: Helm, name: str, version: str) -> tuple[bytes, bytes]:
    """A chart packed and signed by helm: archive and provenance."""
    folder = helm.home / f"{name}-{version}"
    folder.mkdir()
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
    packed = helm.home / "packed"
    ring = helm.home / "secring.gpg"
    helm("package", folder, "--sign", "--key", "Tests", "--keyring", ring, "--destination", packed)
    file = packed / f"{name}-{version}.tgz"
    return file.read_bytes(), file.with_name(file.name + ".prov").read_bytes()


@pytest.mark.parametrize("way", ["chart and prov", "prov after", "prov after helm push", "helm push"])
def test_verify(helm: Helm, tenant: Tenant, url: str, tmp_path: Path, way: str) -> None:
    signing_key(helm.home)
    data, prov = signed(helm, "app", "1.0.0+b")
    if way == "chart and prov":
        assert tenant.push_form(chart=data, prov=prov).status_code == 201
    elif way == "prov after":
        assert tenant.push(data).status_code == 201
        assert tenant.http.post(tenant.api("prov"), content=prov).status_code == 201
    elif way == "prov after helm push":
        assert helm_push(tenant.oci("app"), data, "1.0.0+b").status_code == 201
        assert tenant.push_form(prov=prov).status_code == 201
    else:
        registry = f"oci://{tenant.http.base_url.netloc.decode()}/{tenant.name}"
        helm("push", helm.home / "packed" / "app-1.0.0+b.tgz", registry, "--plain-http")
    helm("repo", "add", "ours", url)
    ring = helm.home / "pubring.gpg"
    out = helm("pull", "ours/app", "--verify", "--keyring", ring, "--destination", tmp_path)
    assert "Signed by: Tests" in out
    assert hashlib.sha256(data).hexdigest() in out
    assert (tmp_path / "app-1.0.0+b.tgz.prov").read_bytes() == prov
    if way in ("chart and prov", "prov after", "helm push"):
        address = f"oci://{tenant.http.base_url.netloc.decode()}/{tenant.name}/app"
        version = ("--version", "1.0.0+b", "--plain-http", "--destination", tmp_path / "oci")
        (tmp_path / "oci").mkdir()
        assert "Signed by" in helm("pull", address, "--verify", "--keyring", ring, *version)


def test_a_hostile_chart_does_not_break_the_repository(helm: Helm, tenant: Tenant, url: str) -> None:
    assert tenant.push(hostile_chart("1.0.0")).status_code == 201
    assert tenant.push(chart_file("good", "1.0.0")).status_code == 201
    config = {
        "name": "raw",
        "version": "1.0.0",
        "description": "\x1b[31m\n\u202e\x7f",
        "annotations": {"a\x9b": "\x85"},
    }
    assert helm_push(tenant.oci("raw"), chart_file("raw", "1.0.0"), "1.0.0", config=config).status_code == 201
    helm("repo", "add", "ours", url)
    out = helm("search", "repo", "ours/")
    assert all(f"ours/{name}" in out for name in ("app", "good", "raw"))
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("force", [False, True])
def test_cm_push(tenant: Tenant, url: str, tmp_path: Path, force: bool) -> None:
    push = Helm(require("helm-cm-push"), tmp_path / "home")
    file = tmp_path / "app-1.0.0.tgz"
    file.write_bytes(chart_file("app", "1.0.0"))
    push(file, url)
    [entry] = tenant.index()["entries"]["app"]
    # the plugin packs the chart anew, so the bytes are not those of the file
    assert hashlib.sha256(tenant.get("charts/app-1.0.0.tgz").content).hexdigest() == entry["digest"]
    if force:
        file.write_bytes(chart_file("app", "1.0.0", description="other"))
        push(file, url, "--force")
        assert tenant.index()["entries"]["app"][0]["description"] == "other"
    else:
        assert "already exists" in push(file, url, fails=True)
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: second\nversion: 0.1.0\n")
    push(folder, url, "--version", "0.2.0")
    assert tenant.versions("second") == ["0.2.0"]


def test_cm_push_at_the_root_of_a_host(http: httpx.Client) -> None:
    """The plugin takes no host header, so this is what it sends: no context path, the tenant in the API's path."""
    headers = {"host": "charts.test"}
    assert "serverInfo" not in http.get("/cmroot/index.yaml", headers=headers).json()
    files = {"chart": ("/home/me/app-1.0.0.tgz", chart_file("app", "1.0.0"))}
    assert http.post("/api/cmroot/charts", files=files, headers=headers).status_code == 201
