"""Real clients log in to a registry with accounts, under both schemes, and get what their user may have."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.charts import chart_file
from tests.clients.program import program
from tests.protocols.auth.world import PASSWORD, World


@pytest.fixture(scope="module", params=["bearer", "basic"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.start(tmp_path_factory.mktemp(request.param), entry="serve", CNR_AUTH_SCHEME=request.param)
    yield world
    world.server.kill()


@pytest.fixture
def site(world: World) -> str:
    return world.server.url.removeprefix("http://")


def folder(parent: Path) -> Path:
    """A place for what is pulled, which helm wants to be there."""
    (parent / "out").mkdir(exist_ok=True)
    return parent / "out"


@pytest.mark.parametrize("name", ["helm3", "helm4"])
def test_helm(name: str, tmp_path: Path, site: str) -> None:
    helm = program(name, tmp_path)
    wanted = ("registry", "login", site, "--plain-http", "--username")
    assert helm.refused(*wanted, "will", "--password", "wrong")
    helm(*wanted, "will", "--password", PASSWORD)
    archive = chart_file(tmp_path, f"login-{name}", "1.0.0")
    helm("push", archive, f"oci://{site}/team", "--plain-http")
    helm("pull", f"oci://{site}/team/login-{name}", "--plain-http", "--destination", folder(tmp_path))
    assert helm.refused("push", archive, f"oci://{site}/other", "--plain-http")
    helm("registry", "logout", site)
    assert helm.refused("pull", f"oci://{site}/team/login-{name}", "--plain-http")
    helm("pull", f"oci://{site}/open/app", "--plain-http", "--destination", folder(tmp_path))


@pytest.mark.parametrize("name", ["helm3", "helm4"])
def test_helm_repositories(name: str, tmp_path: Path, site: str) -> None:
    helm = program(name, tmp_path)
    helm("repo", "add", "team", f"http://{site}/helm/team", "--username", "rita", "--password", PASSWORD)
    assert "team/app" in helm.out("search", "repo", "team/")
    helm("pull", "team/app", "--destination", folder(tmp_path))
    assert helm.refused("repo", "add", "nobody", f"http://{site}/helm/team")
    helm("repo", "add", "open", f"http://{site}/helm/open")
    helm("pull", "open/app", "--destination", folder(tmp_path))


def test_oras(tmp_path: Path, site: str) -> None:
    oras = program("oras", tmp_path)
    assert oras.refused("login", "--plain-http", site, "-u", "will", "-p", "wrong")
    oras("login", "--plain-http", site, "-u", "will", "-p", PASSWORD)
    (tmp_path / "file.txt").write_text("hello")
    oras("push", "--plain-http", f"{site}/team/oras:1", "file.txt:text/plain")
    oras("pull", "--plain-http", f"{site}/team/oras:1", "-o", folder(tmp_path))
    assert (tmp_path / "out" / "file.txt").read_text() == "hello"
    assert oras.refused("push", "--plain-http", f"{site}/other/oras:1", "file.txt:text/plain")
    oras("logout", site)
    assert oras.refused("pull", "--plain-http", f"{site}/team/oras:1", "-o", folder(tmp_path))


def test_skopeo(tmp_path: Path, site: str) -> None:
    skopeo = program("skopeo", tmp_path, "--insecure-policy")
    wrong = ("login", "--tls-verify=false", "-u", "will", "-p")
    assert skopeo.refused(*wrong, "wrong", site)
    skopeo(*wrong, PASSWORD, site)
    copy = ("copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{site}/team/app:1.0.0")
    skopeo(*copy, f"docker://{site}/team/copied:1")
    assert skopeo.refused(*copy, f"docker://{site}/other/copied:1")
    skopeo("logout", "--tls-verify=false", site)
    assert skopeo.refused("inspect", "--raw", "--tls-verify=false", f"docker://{site}/team/copied:1")
    skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{site}/open/app:1.0.0")
