"""oras pushes, pulls, attaches, copies and deletes, from one repository and one server to another."""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.charts import chart_file
from tests.clients.program import Program, digest_in

ARTIFACT = "application/vnd.example.thing"


@dataclass(frozen=True)
class Repository:
    """A repository as oras names it."""

    oras: Program
    name: str

    def __call__(self, *words: object, at: str = "") -> str:
        """Run `oras WORDS --plain-http NAME`, where `at` goes behind the name; its standard output."""
        return self.oras.out(*words, "--plain-http", f"{self.name}{at}")

    def digest(self, tag: str) -> str:
        return self("resolve", at=f":{tag}").strip()


@pytest.fixture
def repository(oras: Program, site: str, namespace: str) -> Repository:
    return Repository(oras, f"{site}/{namespace}/thing")


@pytest.fixture
def pushed(repository: Repository, tmp_path: Path) -> str:
    """The digest of an artifact of a file and a folder, under the tag `v1`."""
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.txt").write_text("two")
    words = ("push", "--plain-http", "--artifact-type", ARTIFACT, f"{repository.name}:v1", "a.txt:text/plain", "folder")
    return digest_in(repository.oras(*words))


def attach(repository: Repository, kind: str) -> str:
    """Attach a file to `v1`; the digest of its manifest."""
    (repository.oras.folder / "more.json").write_text(f'"{kind}"')
    words = ("attach", "--plain-http", "--artifact-type", kind, f"{repository.name}:v1", "more.json:application/json")
    return digest_in(repository.oras(*words))


def referrers(repository: Repository, *words: str) -> set[tuple[str, str]]:
    found = json.loads(repository("discover", "--format", "json", *words, at=":v1"))
    return {(each["artifactType"], each["digest"]) for each in found["referrers"]}


def test_files_and_folders_come_back(repository: Repository, pushed: str, tmp_path: Path) -> None:
    repository("pull", "--output", "got", at=":v1")
    assert (tmp_path / "got" / "a.txt").read_text() == "one"
    assert (tmp_path / "got" / "folder" / "b.txt").read_text() == "two"
    assert repository.digest("v1") == pushed


@pytest.mark.parametrize(
    ("package", "format"), [("docker-compose/nginx-golang-1.0.0", "docker-compose"), ("kpm/kube-ui-1.0.0", "kpm")]
)
def test_packages_of_other_formats_come_out(
    repository: Repository, command: Program, corpus: Path, tmp_path: Path, package: str, format: str
) -> None:
    """A package that `cnr` pushed is one file, under the name that `cnr pull` gives it."""
    sent = (corpus / f"{package}.tgz").read_bytes()
    command("push", corpus / f"{package}.tgz", f"{repository.name}@1.0.0", "--media-type", format)
    repository("pull", "--output", "got", at=":1.0.0")
    (got,) = (tmp_path / "got").iterdir()
    assert got.name == "_".join(repository.name.split("/")[1:]) + "_1.0.0.tar.gz"
    assert got.read_bytes() == sent


def test_a_package_that_oras_pushes_shows_in_cnr(
    repository: Repository, command: Program, corpus: Path, tmp_path: Path
) -> None:
    sent = corpus / "kpm" / "kube-ui-1.0.0.tgz"
    (tmp_path / "kube-ui.tar.gz").write_bytes(sent.read_bytes())
    kind = "application/vnd.cnr.package-manifest.kpm.v1.json"
    layer = "kube-ui.tar.gz:application/vnd.cnr.package.kpm.v1.tar+gzip"
    repository.oras("push", "--plain-http", "--artifact-type", kind, f"{repository.name}:1.0.0", layer)
    command("pull", f"{repository.name}@1.0.0", "--tarball", "--dest", "got")
    (got,) = (tmp_path / "got").iterdir()
    assert got.read_bytes() == sent.read_bytes()


def test_attached_artifacts_are_discovered(repository: Repository, pushed: str) -> None:
    bill, signature = attach(repository, "application/sbom"), attach(repository, "application/vnd.sig+json")
    assert referrers(repository) == {("application/sbom", bill), ("application/vnd.sig+json", signature)}
    assert repository("repo", "tags").split() == ["v1"], "the registry keeps the list, and not the client under a tag"
    tree = repository("discover", "--format", "tree", at=":v1")
    assert bill in tree
    assert signature in tree
    # `+` in the filter is sent as it is by some, as %2B by others.
    for kind, digest in (("application/sbom", bill), ("application/vnd.sig+json", signature)):
        assert referrers(repository, "--artifact-type", kind) == {(kind, digest)}


@pytest.mark.parametrize("where", ["same server", "another"])
def test_a_copy_takes_the_referrers_along(
    repository: Repository, pushed: str, site: str, other: str, namespace: str, where: str
) -> None:
    bill = attach(repository, "application/sbom")
    copy = Repository(repository.oras, f"{site if where == 'same server' else other}/{namespace}/copy")
    ways = ("--from-plain-http", "--to-plain-http")
    repository.oras("copy", "--recursive", *ways, f"{repository.name}:v1", f"{copy.name}:v1,v2")
    assert copy.digest("v1") == copy.digest("v2") == pushed
    assert referrers(copy) == {("application/sbom", bill)}
    copy("pull", "--output", "copied", at=":v2")
    assert (repository.oras.folder / "copied" / "a.txt").read_text() == "one"


def test_a_chart_is_copied_with_its_signature(
    repository: Repository, command: Program, site: str, other: str, namespace: str, tmp_path: Path
) -> None:
    """Into another registry it comes as the release that it was here."""
    archive = chart_file(tmp_path, "thing", "1.0.0")
    command("push", archive, f"{site}/{namespace}")
    ways = ("--from-plain-http", "--to-plain-http")
    repository.oras("copy", "--recursive", *ways, f"{repository.name}:1.0.0", f"{other}/{namespace}/thing:1.0.0")
    here, there = (
        json.loads(command.out("show", f"{each}/{namespace}/thing@1.0.0", "--output", "json"))[0]
        for each in (site, other)
    )
    assert here["content"] == there["content"]


def test_lists(repository: Repository, pushed: str, site: str, namespace: str) -> None:
    repository.oras("tag", "--plain-http", f"{repository.name}:v1", "v2", "latest")
    assert repository("repo", "tags").split() == ["latest", "v1", "v2"]
    assert repository.oras.out("repo", "ls", "--plain-http", f"{site}/{namespace}/").split() == ["thing"]
    assert f"{namespace}/thing" in repository.oras.out("repo", "ls", "--plain-http", site).split()


def test_manifests(repository: Repository, pushed: str, tmp_path: Path) -> None:
    data = repository("manifest", "fetch", at=":v1")
    assert f"sha256:{hashlib.sha256(data.encode()).hexdigest()}" == pushed
    described: dict[str, Any] = json.loads(repository("manifest", "fetch", "--descriptor", at=f"@{pushed}"))
    assert (described["digest"], described["size"]) == (pushed, len(data))
    (tmp_path / "manifest.json").write_text(data)
    repository.oras("manifest", "push", "--plain-http", f"{repository.name}:again", "manifest.json")
    assert repository.digest("again") == pushed
    repository("manifest", "delete", "--force", at=f"@{pushed}")
    assert repository("repo", "tags").split() == []
    repository.oras.refused("manifest", "fetch", "--plain-http", f"{repository.name}@{pushed}")


def test_blobs(repository: Repository, pushed: str, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"loose")
    digest = f"sha256:{hashlib.sha256(b'loose').hexdigest()}"
    repository.oras("blob", "push", "--plain-http", f"{repository.name}@{digest}", "blob")
    assert repository("blob", "fetch", "--output", "-", at=f"@{digest}") == "loose"
    assert json.loads(repository("blob", "fetch", "--descriptor", at=f"@{digest}"))["size"] == 5
    repository("blob", "delete", "--force", at=f"@{digest}")
    repository.oras.refused("blob", "fetch", "--plain-http", "--output", "-", f"{repository.name}@{digest}")


def test_a_blob_in_use_is_kept_in_words(repository: Repository, pushed: str) -> None:
    used = f"{repository.name}@sha256:{hashlib.sha256(b'one').hexdigest()}"
    printed = repository.oras.refused("blob", "delete", "--force", "--plain-http", used)
    assert "a manifest of this repository needs the blob" in printed


def test_a_release_is_immutable_in_words(repository: Repository, command: Program, tmp_path: Path) -> None:
    command("push", chart_file(tmp_path, "thing", "1.0.0"), repository.name.rpartition("/")[0])
    (tmp_path / "a.txt").write_text("one")
    printed = repository.oras.refused("push", "--plain-http", f"{repository.name}:1.0.0", "a.txt")
    assert "releases are immutable" in printed


def test_a_backup_and_its_restoration(
    repository: Repository, pushed: str, other: str, namespace: str, tmp_path: Path
) -> None:
    """`oras backup` of a repository with referrers, restored into another server."""
    bill = attach(repository, "application/sbom")
    words = ("--plain-http", "--include-referrers")
    repository.oras("backup", *words, "--output", "saved.tar", f"{repository.name}:v1")
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "saved.tar").read_bytes())) as tar:
        assert "index.json" in tar.getnames()
    restored = Repository(repository.oras, f"{other}/{namespace}/restored")
    repository.oras("restore", "--plain-http", "--input", "saved.tar", f"{restored.name}:v1")
    assert restored.digest("v1") == pushed
    assert referrers(restored) == {("application/sbom", bill)}


def test_a_client_that_keeps_its_own_list_of_referrers(repository: Repository, pushed: str) -> None:
    """As clients do where a registry has no referrers API: an index under a tag made of the subject's digest."""
    (repository.oras.folder / "more.json").write_text("{}")
    old = ("--distribution-spec", "v1.1-referrers-tag")
    words = ("--artifact-type", "application/sbom", f"{repository.name}:v1", "more.json:application/json")
    bill = digest_in(repository.oras("attach", "--plain-http", *old, *words))
    assert referrers(repository, *old) == {("application/sbom", bill)}
    assert referrers(repository) == {("application/sbom", bill)}
    assert repository("repo", "tags").split() == [pushed.replace(":", "-"), "v1"]


def test_an_index_of_artifacts(repository: Repository, pushed: str, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("other")
    repository.oras("push", "--plain-http", f"{repository.name}:v2", "other.txt")
    repository.oras("manifest", "index", "create", "--plain-http", f"{repository.name}:all", "v1", "v2")
    found = json.loads(repository("manifest", "fetch", at=":all"))
    assert [each["digest"] for each in found["manifests"]] == [pushed, repository.digest("v2")]
    repository.oras("manifest", "index", "update", "--plain-http", f"{repository.name}:all", "--remove", pushed)
    assert len(json.loads(repository("manifest", "fetch", at=":all"))["manifests"]) == 1
