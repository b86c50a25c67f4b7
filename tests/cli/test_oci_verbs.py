"""`cnr tag`, `cnr manifest` and `cnr referrers`, against this project's server and distribution's."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.cli.oci_repository import MANIFEST, OciRepository, digest_of, image, index

Run = Callable[..., Any]
SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"


@pytest.fixture(params=["registry", "distribution_2", "distribution_3"])
def repository(request: pytest.FixtureRequest, home: str) -> OciRepository:
    """A new repository, at this project's server and at those without a list of referrers."""
    address = request.getfixturevalue(request.param)
    return OciRepository(f"{address}/{home.partition('/')[2]}/a/b/c")


def test_tags(cnr: Run, home: str) -> None:
    repository = OciRepository(f"{home}/a/b/c")
    manifest = repository.image(b"x", tag="v1")
    place = repository.address
    assert cnr("tag", "ls", place).out == "v1\n"
    moved = cnr("tag", "set", f"{place}:v1", "stable", "2.0.0+linux")
    digest = digest_of(manifest)
    assert moved.out == f"{place}:stable {digest}\n{place}:2.0.0_linux {digest}\n"
    assert cnr("tag", "set", f"{place}@{digest}", "again", "--output", "json").json["tags"] == ["again"]
    assert repository.tags() == ["2.0.0_linux", "again", "stable", "v1"]
    assert cnr("tag", "rm", f"{place}:again").out == f"{place}:again deleted\n"
    assert cnr("tag", "rm", f"{place}:2.0.0+linux").code == 0
    assert cnr("tag", "ls", place, "--output", "json").json == {
        "repository": place.partition("/")[2],
        "tags": ["stable", "v1"],
    }
    assert repository.get("v1") == manifest


def test_a_registry_that_does_not_delete_tags(cnr: Run, distribution_2: str, home: str) -> None:
    repository = OciRepository(f"{distribution_2}/{home.partition('/')[2]}")
    repository.image(b"x", tag="v1")
    refused = cnr("tag", "rm", f"{repository.address}:v1")
    assert (refused.code, refused.err) == (1, f"cnr: {distribution_2} does not delete a tag alone\n")
    assert repository.tags() == ["v1"]


def test_more_tags_than_a_page(cnr: Run, home: str) -> None:
    repository = OciRepository(f"{home}/many")
    manifest = repository.image(b"x")
    tags = [f"t{number:04}" for number in range(1005)]
    for start in range(0, len(tags), 67):
        query = "&".join(f"tag={tag}" for tag in tags[start : start + 67])
        repository.manifest(manifest, f"{digest_of(manifest)}?{query}")
    assert cnr("tag", "ls", repository.address).out.split() == tags


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["tag", "ls", "{p}:v1"], 2),
        (["tag", "ls", "{p}/none"], 3),
        (["tag", "set", "{p}:none", "x"], 3),
        (["tag", "set", "{p}:v1", "-x"], 2),
        (["tag", "set", "{p}:v1", "x y"], 2),
        (["tag", "set", "{p}:v1"], 2),
        (["tag", "rm", "{p}"], 2),
        (["tag", "rm", "{p}:none"], 3),
        (["tag", "rm", "{p}@" + digest_of(b"")], 2),
        (["manifest", "show", "{p}:none"], 3),
        (["manifest", "digest", "{p}:none"], 3),
        (["manifest", "rm", "{p}:v1"], 2),
        (["manifest", "rm", "{p}@" + digest_of(b"")], 3),
        (["manifest", "show", "{p}@sha256:short"], 2),
        (["referrers", "{p}:none"], 3),
        (["referrers", "{p}:v1", "--tree", "--artifact-type", "x"], 2),
    ],
)
def test_what_is_refused(cnr: Run, home: str, words: list[str], code: int) -> None:
    OciRepository(f"{home}/x").image(b"x", tag="v1")
    refused = cnr(*(word.format(p=f"{home}/x") for word in words))
    assert (refused.code, refused.out, refused.err.count("\n")) == (code, "", 1)


def test_manifests(cnr: Run, repository: OciRepository, tmp_path: Path) -> None:
    place = repository.address
    manifest = repository.image(b"x", tag="v1")
    digest = digest_of(manifest)
    assert cnr("manifest", "digest", f"{place}:v1").out == digest + "\n"
    assert cnr("manifest", "show", f"{place}:v1", "--raw").out.encode() == manifest
    assert cnr("manifest", "show", f"{place}@{digest}", "--output", "json").json == json.loads(manifest)
    shown = cnr("manifest", "show", f"{place}:v1").out
    assert f"Digest:        {digest}\n" in shown
    assert f"layer   {digest_of(b'x')}  1" in shown
    (tmp_path / "file").write_bytes(image(b"x", annotations={"a": "b"}))
    pushed = cnr("manifest", "push", tmp_path / "file", f"{place}:v2")
    assert pushed.out == digest_of(image(b"x", annotations={"a": "b"})) + "\n"
    assert repository.get("v2") == image(b"x", annotations={"a": "b"})
    assert cnr("manifest", "rm", f"{place}@{digest}").out == f"{place}@{digest} deleted\n"
    assert repository.tags() == ["v2"]


def test_an_index_is_shown_with_its_platforms(cnr: Run, repository: OciRepository) -> None:
    child = repository.image(b"x")
    repository.manifest(index(child, platforms=("linux/arm64",)), "multi")
    shown = cnr("manifest", "show", f"{repository.address}:multi").out.splitlines()[-1].split()
    assert shown == ["manifest", digest_of(child), str(len(child)), MANIFEST, "linux/arm64"]


def test_a_manifest_is_pushed_from_standard_input(
    cnr: Run, repository: OciRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (b"{}", b"x"):
        repository.blob(data)
    untyped = image(b"x").replace(f'"mediaType": "{MANIFEST}", '.encode(), b"", 1)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(untyped)))
    pushed = cnr("manifest", "push", "-", repository.address, "--media-type", MANIFEST)
    assert pushed.out == digest_of(untyped) + "\n"
    assert repository.get(digest_of(untyped)) == untyped


@pytest.mark.parametrize(
    ("data", "code"), [(b"no json", 1), (b" " * (4 * 1024 * 1024 + 1), 1), (image(b"missing"), 1), (b"{}[", 1)]
)
def test_files_that_are_no_manifest(cnr: Run, home: str, tmp_path: Path, data: bytes, code: int) -> None:
    (tmp_path / "file").write_bytes(data)
    refused = cnr("manifest", "push", tmp_path / "file", f"{home}/x:v1")
    assert (refused.code, refused.err.count("\n")) == (code, 1)
    assert cnr("manifest", "push", tmp_path / "none", f"{home}/x:v1").code == 2


def test_a_manifest_must_have_the_digest_that_it_is_pushed_to(cnr: Run, home: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(image(b"x"))
    assert cnr("manifest", "push", tmp_path / "file", f"{home}/x@{digest_of(b'')}").code == 7


def test_referrers(cnr: Run, repository: OciRepository, tmp_path: Path) -> None:
    place = repository.address
    manifest = repository.image(b"x", tag="v1")
    assert cnr("referrers", f"{place}:v1", "--output", "json").json == []
    signature, sbom = (referring(cnr, repository, tmp_path, manifest, kind) for kind in (SIGNATURE, SBOM))
    counter = referring(cnr, repository, tmp_path, signature, SIGNATURE)
    listed = cnr("referrers", f"{place}:v1", "--output", "json").json
    assert {(each["digest"], each["artifactType"]) for each in listed} == {
        (digest_of(signature), SIGNATURE),
        (digest_of(sbom), SBOM),
    }
    filtered = cnr("referrers", f"{place}:v1", "--artifact-type", SBOM).out.splitlines()
    assert filtered[0].split() == ["DIGEST", "TYPE", "SIZE"]
    assert filtered[1].split() == [digest_of(sbom), SBOM, str(len(sbom))]
    tree = cnr("referrers", f"{place}@{digest_of(manifest)}", "--tree").out
    assert tree.splitlines()[0] == digest_of(manifest)
    assert f"    └── {digest_of(counter)} {SIGNATURE}" in tree or f"│   └── {digest_of(counter)} {SIGNATURE}" in tree


def referring(cnr: Run, repository: OciRepository, folder: Path, subject: bytes, kind: str) -> bytes:
    """Pushes a referrer with the command, which also keeps the list where the registry has none."""
    about = {"mediaType": MANIFEST, "digest": digest_of(subject), "size": len(subject)}
    data = image(b"x", artifactType=kind, subject=about)
    (folder / "referrer").write_bytes(data)
    pushed = cnr("manifest", "push", folder / "referrer", repository.address)
    assert pushed.code == 0, pushed.err
    return data
