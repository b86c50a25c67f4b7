"""Real clients log in to a registry with accounts, under both schemes, and get what their user may have."""

import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.clients.charts import chart_file
from tests.clients.program import Program, cnr, program
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


def session(folder: Path) -> dict[str, str]:
    """A place of its own for what else would be the whole machine's: skopeo and podman log in there."""
    (folder / "session").mkdir(exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(folder / "session")}


def test_skopeo(tmp_path: Path, site: str) -> None:
    skopeo = program("skopeo", tmp_path, "--insecure-policy", env=session(tmp_path))
    wrong = ("login", "--tls-verify=false", "-u", "will", "-p")
    assert skopeo.refused(*wrong, "wrong", site)
    skopeo(*wrong, PASSWORD, site)
    copy = ("copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{site}/team/app:1.0.0")
    skopeo(*copy, f"docker://{site}/team/copied:1")
    assert skopeo.refused(*copy, f"docker://{site}/other/copied:1")
    skopeo("logout", "--tls-verify=false", site)
    assert skopeo.refused("inspect", "--raw", "--tls-verify=false", f"docker://{site}/team/copied:1")
    skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{site}/open/app:1.0.0")


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Program]:
    """podman as root without systemd, with its images in a folder of its own."""
    # Under /tmp: the path of its runroot may have 50 characters at most.
    with tempfile.TemporaryDirectory(prefix="podman", ignore_cleanup_errors=True) as run:
        places = ("--root", str(tmp_path / "root"), "--runroot", run)
        kinds = ("--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file")
        yield program("podman", tmp_path, *places, *kinds, env=session(tmp_path) | {"TMPDIR": str(tmp_path)})


def test_podman(tmp_path: Path, site: str, podman: Program) -> None:
    with tarfile.open(tmp_path / "root.tar", "w") as archive:
        member = tarfile.TarInfo("hello")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    login = ("login", "--tls-verify=false", site, "-u", "will", "-p")
    assert "invalid username/password" in podman.refused(*login, "wrong")
    podman(*login, PASSWORD)
    image = f"{site}/team/podman:1"
    podman("import", "root.tar", image)
    podman("push", "--tls-verify=false", image)
    assert podman.refused("push", "--tls-verify=false", image, f"{site}/other/podman:1")
    podman("rmi", image)
    podman("pull", "--tls-verify=false", image)
    assert f"{site}/team/app" in podman("search", "--tls-verify=false", f"{site}/app")
    podman("logout", site)
    podman("rmi", image)
    assert podman.refused("pull", "--tls-verify=false", image)


def test_crane(tmp_path: Path, site: str) -> None:
    crane = program("crane", tmp_path, "--insecure")
    with tarfile.open(tmp_path / "layer.tar", "w"):
        pass
    push = ("append", "--new_layer", "layer.tar", "--new_tag")
    crane("auth", "login", site, "-u", "will", "-p", "wrong")  # it asks nobody
    assert crane.refused(*push, f"{site}/team/crane:1")
    crane("auth", "login", site, "-u", "will", "-p", PASSWORD)
    crane(*push, f"{site}/team/crane:1")
    crane("pull", f"{site}/team/crane:1", "image.tar")
    assert crane.refused(*push, f"{site}/other/crane:1")
    crane("auth", "logout", site)
    assert crane.refused("pull", f"{site}/team/crane:1", "image.tar")


LOGINS = {
    "helm3": ("registry", "login", "{site}", "--plain-http", "-u", "will", "-p", PASSWORD),
    "helm4": ("registry", "login", "{site}", "--plain-http", "-u", "will", "-p", PASSWORD),
    "oras": ("login", "--plain-http", "{site}", "-u", "will", "-p", PASSWORD),
    "skopeo": ("login", "--tls-verify=false", "{site}", "-u", "will", "-p", PASSWORD),
    "podman": ("login", "--tls-verify=false", "{site}", "-u", "will", "-p", PASSWORD),
    "crane": ("auth", "login", "{site}", "-u", "will", "-p", PASSWORD),
}


def client(name: str, folder: Path, request: pytest.FixtureRequest) -> Program:
    """The program of this name."""
    if name == "podman":
        return cast(Program, request.getfixturevalue("podman"))
    return program(name, folder, env=session(folder))


@pytest.mark.parametrize("name", LOGINS)
def test_cnr_uses_the_logins_of_others(name: str, tmp_path: Path, site: str, request: pytest.FixtureRequest) -> None:
    other = client(name, tmp_path, request)
    ours = Program(cnr(tmp_path).words, tmp_path, session(tmp_path))
    chart = chart_file(tmp_path, f"from-{name}", "1.0.0")
    assert ours.refused("push", chart, f"{site}/team")
    other(*(word.format(site=site) for word in LOGINS[name]))
    ours("push", chart, f"{site}/team")
    assert ours.out("tag", "ls", f"{site}/team/from-{name}") == "1.0.0\n"
    assert f"team/from-{name}" in ours.out("list", site)


@pytest.mark.parametrize("name", ["oras", "skopeo", "podman"])
def test_cnr_uses_a_file_that_is_named(name: str, tmp_path: Path, site: str, request: pytest.FixtureRequest) -> None:
    other = client(name, tmp_path, request)
    option = "--registry-config" if name == "oras" else "--authfile"
    other(*(word.format(site=site) for word in LOGINS[name]), option, tmp_path / "named.json")
    ours = Program(cnr(tmp_path).words, tmp_path, {"REGISTRY_AUTH_FILE": str(tmp_path / "named.json")})
    assert "team/app" in ours.out("list", site)
