"""Real clients over HTTPS, with an authority of their own, against a registry with accounts and no proxy before it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clients.charts import chart_file
from tests.clients.images import Layout, blobs
from tests.clients.program import cnr, program
from tests.protocols.auth.world import PASSWORD, World
from tests.services.certificates import Authority


@dataclass(frozen=True)
class Secure:
    """HOST:PORT of the server, and the file of the authority that its clients need."""

    site: str
    authority: Path
    world: World


@pytest.fixture(scope="module", params=["serve", "gunicorn"])
def secure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    cert, key = authority.issue("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.file))  # what httpx trusts
        files = {"CNR_TLS_CERT": str(cert), "CNR_TLS_KEY": str(key)}
        world = World.start(tmp_path_factory.mktemp("secure"), entry=request.param, workers=2, **files)
        site = world.server.url.removeprefix("https://")
    yield Secure(site, authority.file, world)
    world.server.kill()


@pytest.mark.parametrize("name", ["helm3", "helm4"])
def test_helm(name: str, tmp_path: Path, secure: Secure) -> None:
    helm = program(name, tmp_path)
    trust = ("--ca-file", secure.authority)
    login = ("registry", "login", secure.site, "--username", "will", "--password", PASSWORD)
    assert "certificate" in helm.refused(*login)
    helm(*login, *trust)
    archive = chart_file(tmp_path, f"tls-{name}", "1.0.0")
    helm("push", archive, f"oci://{secure.site}/team", *trust)
    (tmp_path / "out").mkdir()
    helm("pull", f"oci://{secure.site}/team/tls-{name}", "--destination", tmp_path / "out", *trust)
    assert (tmp_path / "out" / archive.name).read_bytes() == archive.read_bytes()
    user = ("--username", "rita", "--password", PASSWORD)
    helm("repo", "add", "team", f"https://{secure.site}/helm/team", *user, *trust)
    assert f"team/tls-{name}" in helm.out("search", "repo", "team/")
    helm("pull", f"team/tls-{name}", "--destination", tmp_path / "out")


def test_oras(tmp_path: Path, secure: Secure) -> None:
    oras = program("oras", tmp_path)
    trust = ("--ca-file", secure.authority)
    oras("login", secure.site, "-u", "will", "-p", PASSWORD, *trust)
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 100_000)
    oras("push", *trust, f"{secure.site}/team/tls-oras:v1", "file.bin")
    (tmp_path / "out").mkdir()
    oras("pull", *trust, f"{secure.site}/team/tls-oras:v1", "--output", tmp_path / "out")
    assert (tmp_path / "out" / "file.bin").read_bytes() == (tmp_path / "file.bin").read_bytes()
    assert "certificate" in oras.refused("pull", f"{secure.site}/team/tls-oras:v1")


def test_skopeo(tmp_path: Path, secure: Secure) -> None:
    skopeo = program("skopeo", tmp_path, "--insecure-policy")
    folder = tmp_path / "certs"
    folder.mkdir()
    shutil.copy2(secure.authority, folder / "ca.crt")
    Layout(tmp_path / "layout").both()
    image, user = f"docker://{secure.site}/team/tls-skopeo:one", f"will:{PASSWORD}"
    skopeo("copy", "--all", "--dest-cert-dir", folder, "--dest-creds", user, "oci:layout:multi", image)
    skopeo("copy", "--all", "--src-cert-dir", folder, "--src-creds", user, image, "oci:back:multi")
    assert blobs(tmp_path / "back") <= blobs(tmp_path / "layout")
    assert "certificate" in skopeo.refused("inspect", "--creds", user, image)


def test_crane(tmp_path: Path, secure: Secure) -> None:
    crane = program("crane", tmp_path, env={"SSL_CERT_FILE": str(secure.authority)})
    crane("auth", "login", secure.site, "-u", "will", "-p", PASSWORD)
    assert crane.out("ls", f"{secure.site}/team/app").split() == ["1.0.0"]


def test_curl(tmp_path: Path, secure: Secure) -> None:
    curl = program("curl", tmp_path, "--silent", "--show-error", "--fail")
    url = f"https://{secure.site}/api/v1/packages"
    assert "team/app" in curl.out("--cacert", secure.authority, "--user", f"rita:{PASSWORD}", url)
    assert "certificate" in curl.refused(url)
    assert curl.refused(url.replace("https", "http"))


def test_cnr(tmp_path: Path, secure: Secure) -> None:
    command = cnr(tmp_path)
    place = f"https://{secure.site}/open"
    assert "give its authority with --cacert" in command.refused("list", place)
    assert "open/app" in command.out("list", place, "--cacert", secure.authority)
    assert "1.0.0" in command.out("show", f"{place}/app", "--cacert", secure.authority)
