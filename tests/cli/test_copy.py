"""`cnr copy` between real registries: this project's, and distribution 2.8 and 3.1."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.oci_repository import OciRepository, digest_of, image, index

Run = Callable[..., Any]
MakeChart = Callable[..., Path]
SIGNATURE = "application/vnd.example.signature"


@pytest.fixture
def source(home: str) -> OciRepository:
    """A repository that no other test has."""
    return OciRepository(f"{home}/deep/er")


def there(registry: str, home: str, name: str = "copy") -> OciRepository:
    """The repository of this test at another registry."""
    return OciRepository(f"{registry}/{home.partition('/')[2]}/{name}")


def test_an_image_with_its_layers(cnr: Run, source: OciRepository, distribution: str, home: str) -> None:
    layers = [os.urandom(3 * 1024 * 1024), b"", b"small"]
    manifest = source.image(*layers, tag="v1")
    target = there(distribution, home)
    copied = cnr("copy", f"{source.address}:v1", target.address, "--output", "json")
    assert copied.code == 0, copied.err
    assert target.get("v1") == manifest
    assert copied.json["items"] == [{"reference": "v1", "status": "copied", "digest": digest_of(manifest)}]
    assert (copied.json["blobs"], copied.json["bytes"]) == (4, sum(map(len, layers)) + 2)
    assert (copied.json["from"], copied.json["to"]) == ("oci", "oci")
    again = cnr("copy", f"{source.address}:v1", target.address, "--output", "json")
    assert [item["status"] for item in again.json["items"]] == ["there"]
    assert (again.json["blobs"], again.json["manifests"]) == (0, 0)
    back = there(source.address.partition("/")[0], home, "back")
    assert cnr("copy", f"{target.address}@{digest_of(manifest)}", f"{back.address}:new").code == 0
    assert (back.get("new"), back.tags()) == (manifest, ["new"])


def test_layers_are_sent_once(cnr: Run, source: OciRepository, second: str, home: str) -> None:
    target = there(second, home)
    source.image(b"base", b"one", tag="one")
    source.image(b"base", b"two", tag="two")
    cnr("copy", f"{source.address}:one", target.address)
    other = cnr("copy", f"{source.address}:two", target.address, "--output", "json").json
    assert (other["blobs"], other["blobs_there"], other["bytes"]) == (1, 2, 3)


def test_within_a_registry_layers_are_mounted(cnr: Run, source: OciRepository, home: str) -> None:
    manifest = source.image(b"mine", tag="v1")
    copied = cnr("copy", f"{source.address}:v1", f"{home}/mounted", "--output", "json").json
    assert (copied["mounted"], copied["blobs"]) == (2, 0)
    assert OciRepository(f"{home}/mounted").get("v1") == manifest


def test_an_index_with_all_of_it_and_one_platform(
    cnr: Run, source: OciRepository, distribution: str, home: str
) -> None:
    amd, arm = source.image(b"amd"), source.image(b"arm")
    inner = source.manifest(index(amd, arm, platforms=("linux/amd64", "linux/arm64")))
    outer = source.manifest(index(inner), "all")
    target = there(distribution, home)
    assert cnr("copy", f"{source.address}:all", target.address).code == 0
    assert target.get("all") == outer
    assert [target.get(digest_of(each)) for each in (inner, amd, arm)] == [inner, amd, arm]
    source.manifest(inner, "multi")
    one = there(distribution, home, "one")
    assert cnr("copy", f"{source.address}:multi", one.address, "--platform", "linux/arm64").code == 0
    assert (one.get("multi"), one.get(digest_of(amd))) == (arm, None)
    refused = cnr("copy", f"{source.address}:multi", one.address, "--platform", "plan9/mips")
    assert refused.code == 2
    assert "its platforms are linux/amd64, linux/arm64" in refused.err


def test_signatures_and_theirs(cnr: Run, source: OciRepository, distribution: str, home: str) -> None:
    manifest = source.image(b"code", tag="v1")
    signature = source.referrer(manifest, SIGNATURE, b"signed")
    counter = source.referrer(signature, SIGNATURE, b"countersigned")
    old = source.image(b"cosign", tag=f"{digest_of(manifest).replace(':', '-')}.sig")
    target = there(distribution, home)
    plain = there(distribution, home, "plain")
    assert cnr("copy", f"{source.address}:v1", plain.address).code == 0
    assert plain.referrers(manifest) == set()
    assert cnr("copy", "-r", f"{source.address}:v1", target.address).code == 0
    assert target.referrers(manifest) == {digest_of(signature)}
    assert target.referrers(signature) == {digest_of(counter)}
    assert target.get(f"{digest_of(manifest).replace(':', '-')}.sig") == old
    again = cnr("copy", "-r", f"{source.address}:v1", target.address, "--output", "json").json
    assert (again["referrers"], again["manifests"]) == (0, 0)
    back = there(source.address.partition("/")[0], home, "signed-back")
    assert cnr("copy", "-r", f"{target.address}:v1", back.address).code == 0
    assert back.referrers(manifest) == {digest_of(signature)}


def test_oras_and_this_command_see_each_others_signatures(
    cnr: Run, source: OciRepository, distribution: str, home: str, tmp_path: Path
) -> None:
    if shutil.which("oras") is None:
        pytest.skip("oras, which attaches signatures, is not installed")

    def oras(*words: str) -> str:
        words = ("oras", *words[:1], "--plain-http", *words[1:])
        return subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    (tmp_path / "signature").write_text("signed")
    source.image(b"code", tag="v1")
    target = there(distribution, home)
    oras("attach", "--artifact-type", SIGNATURE, f"{source.address}:v1", "signature")
    assert cnr("copy", "-r", f"{source.address}:v1", target.address).code == 0
    assert SIGNATURE in oras("discover", f"{target.address}:v1")
    oras("attach", "--artifact-type", "application/x-second", f"{target.address}:v1", "signature")
    types = {each["artifactType"] for each in cnr("referrers", f"{target.address}:v1", "--output", "json").json}
    assert types == {SIGNATURE, "application/x-second"}


def test_sha512(cnr: Run, source: OciRepository, second: str, home: str) -> None:
    for data in (b"{}", b"long"):
        source.blob(data, "sha512")
    manifest = image(b"long", algorithm="sha512")
    digest = digest_of(manifest, "sha512")
    source.manifest(manifest, digest)
    target = there(second, home)
    assert cnr("copy", f"{source.address}@{digest}", target.address).code == 0
    assert target.get(digest) == manifest
    assert target.has_blob(b"long", "sha512")


def test_a_whole_repository(cnr: Run, source: OciRepository, distribution: str, home: str) -> None:
    manifests = {tag: source.image(tag.encode(), tag=tag) for tag in ("a", "b", "1.0.0", "1.0.0_x")}
    target = there(distribution, home)
    copied = cnr("copy", "--all", source.address, target.address)
    assert copied.code == 0
    assert target.tags() == sorted(manifests)
    assert {tag: target.get(tag) for tag in manifests} == manifests
    assert copied.out.splitlines()[-1].startswith("4 copied, 0 already there, 0 failed")
    back = there(source.address.partition("/")[0], home, "all-back")
    assert cnr("copy", "--all", target.address, back.address).code == 0
    assert back.tags() == sorted(manifests)


def test_bars_on_a_terminal_leave_standard_output_alone(source: OciRepository, second: str, home: str) -> None:
    manifest = source.image(os.urandom(2 * 1024 * 1024), tag="v1")
    terminal, end = pty.openpty()
    words = (sys.executable, "-m", "cnr.cli.main", "copy", f"{source.address}:v1", there(second, home).address)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=end, text=True)
    os.close(end)
    drawn = b"".join(iter(lambda: read(terminal), b""))
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert out.splitlines()[0] == f"v1: copied: {digest_of(manifest)}"
    assert b"copy" in drawn


def read(terminal: int) -> bytes:
    """What the terminal was sent; nothing when nobody has it open any more."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_whole_repository_with_signatures(cnr: Run, source: OciRepository, distribution: str, home: str) -> None:
    """Also with those at tags, and whatever else has such a name; a list of referrers is made and not copied."""
    middle, target = there(distribution, home), there(distribution, home, "again")
    manifest = source.image(b"code", tag="v1")
    signature = source.referrer(manifest, SIGNATURE, b"signed")
    stem = digest_of(manifest).replace(":", "-")
    for name in (f"{stem}.sig", f"{stem}.other", "sha256-odd"):
        source.image(name.encode(), tag=name)
    assert cnr("copy", "--all", "-r", source.address, middle.address).code == 0
    assert cnr("copy", "--all", "-r", middle.address, target.address).code == 0
    assert set(target.tags()) == {"v1", stem, f"{stem}.sig", f"{stem}.other", "sha256-odd"}
    assert target.referrers(manifest) == {digest_of(signature)}


def test_what_cannot_be_copied_is_reported_and_the_rest_is(
    cnr: Run, source: OciRepository, second: str, home: str
) -> None:
    target = there(second, home)
    source.image(b"new", tag="1.0.0")
    target.image(b"old", tag="1.0.0")
    other = source.image(b"other", tag="2.0.0")
    copied = cnr("copy", "--all", source.address, target.address, "--output", "json")
    assert copied.code == 8
    assert {item["reference"]: item["status"] for item in copied.json["items"]} == {
        "1.0.0": "failed",
        "2.0.0": "copied",
    }
    assert "immutable" in copied.json["items"][0]["reason"]
    assert target.get("2.0.0") == other


@pytest.fixture
def package(cnr: Run, home: str, chart: MakeChart, tmp_path: Path) -> str:
    """A package with two releases, one in two formats, and a channel: its HOST/ns/name."""
    compose = tmp_path / "compose"
    compose.mkdir()
    (compose / "compose.yaml").write_text("services: {}\n")
    assert cnr("push", chart(version="1.0.0"), home, "-c", "stable").code == 0
    assert cnr("push", compose, f"{home}/app@1.0.0").code == 0
    assert cnr("push", chart(version="1.1.0+b"), home, "-c", "stable").code == 0
    return f"{home}/app"


def shown(cnr: Run, package: str) -> tuple[Any, Any]:
    """A package's contents, and its channels."""
    manifests = cnr("show", package, "--output", "json").json
    contents = {(item["release"], item["mediaType"]): item["content"]["digest"] for item in manifests}
    return contents, cnr("channel", package, "--output", "json").json


@pytest.mark.parametrize("words", [[], ["--from", "cnr", "--to", "cnr"], ["--from", "oci", "--to", "cnr"]])
def test_a_package_between_two_of_ours(cnr: Run, package: str, second: str, home: str, words: list[str]) -> None:
    target = f"{second}/{home.partition('/')[2]}{''.join(words).replace('--', '-')}/app"
    copied = cnr("copy", "--all", package, target, *words)
    assert copied.code == 0, copied.out + copied.err
    contents, channels = shown(cnr, package)
    assert shown(cnr, target)[0] == contents
    assert [item["current"] for item in shown(cnr, target)[1]] == ["1.1.0+b"] == [item["current"] for item in channels]
    again = cnr("copy", "--all", package, target, *words, "--output", "json").json
    assert {item["status"] for item in again["items"]} == {"there"}
    assert (again["bytes"], again["manifests"]) == (0, 0)


def test_a_package_from_and_to_an_old_server(cnr: Run, package: str, cnr_only: str, second: str, home: str) -> None:
    old = f"{cnr_only}/{home.partition('/')[2]}/app"
    copied = cnr("copy", "--all", package, old, "--output", "json").json
    assert (copied["from"], copied["to"]) == ("cnr", "cnr")
    assert shown(cnr, old) == shown(cnr, package)
    new = f"{second}/{home.partition('/')[2]}-old/app"
    back = cnr("copy", "--all", old, new, "--output", "json").json
    assert (back["from"], back["to"]) == ("cnr", "cnr")
    assert shown(cnr, new) == shown(cnr, package)


def test_a_package_through_a_registry_of_oci_alone(
    cnr: Run, package: str, distribution: str, cnr_only: str, home: str
) -> None:
    """The manifests are those that the server makes, and what comes back is the package."""
    middle = there(distribution, home, "app")
    ours = OciRepository(package)
    assert cnr("copy", "--all", package, middle.address, "--from", "cnr").code == 0
    for tag in ("1.0.0", "1.1.0_b", "stable"):
        assert middle.get(tag) == ours.get(tag) is not None
    chart = ours.get("1.0.0")
    assert chart is not None
    assert middle.referrers(chart) == ours.referrers(chart) != set()
    again = cnr("copy", "--all", package, middle.address, "--from", "cnr", "--output", "json").json
    assert {item["status"] for item in again["items"]} == {"there"}
    old = f"{cnr_only}/{home.partition('/')[2]}-{distribution.rpartition(':')[2]}/app"
    back = cnr("copy", "--all", middle.address, old, "--output", "json")
    assert back.code == 0, back.out + back.err
    assert (back.json["from"], back.json["to"]) == ("oci", "cnr")
    assert shown(cnr, old)[0] == shown(cnr, package)[0]
    assert [item["current"] for item in shown(cnr, old)[1]] == ["1.1.0+b"]


def test_one_release_and_one_channel(cnr: Run, package: str, cnr_only: str, second: str, home: str) -> None:
    old = f"{cnr_only}/{home.partition('/')[2]}-one/app"
    assert cnr("copy", f"{package}@1.0.0", old).code == 0
    assert {release for release, _ in shown(cnr, old)[0]} == {"1.0.0"}
    assert cnr("copy", f"{package}:stable", old).code == 0
    assert [item["current"] for item in shown(cnr, old)[1]] == ["1.1.0+b"]
    assert cnr("copy", f"{package}@1.1.0+b", f"{old}:beta").code == 0
    assert {item["name"] for item in shown(cnr, old)[1]} == {"stable", "beta"}
    assert cnr("copy", f"{package}:none", old).code == 3
    assert cnr("copy", f"{package}@9.9.9", old).code == 3
    assert cnr("copy", f"{package}@1.0.0", f"{old}:2.0.0").code == 2


def test_a_release_with_other_content_stays(cnr: Run, home: str, chart: MakeChart, cnr_only: str) -> None:
    old = f"{cnr_only}/{home.partition('/')[2]}-taken"
    cnr("push", chart(), home)
    cnr("push", chart(**{"values.yaml": "other: true"}), old)
    before = shown(cnr, f"{old}/app")
    refused = cnr("copy", f"{home}/app@1.0.0", f"{old}/app")
    assert (refused.code, refused.out) == (4, "")
    assert "with other content" in refused.err
    assert shown(cnr, f"{old}/app") == before


def test_an_image_is_no_package(cnr: Run, source: OciRepository, cnr_only: str, home: str) -> None:
    source.image(b"image", tag="1.0.0")
    refused = cnr("copy", f"{source.address}:1.0.0", f"{cnr_only}/a/b")
    assert refused.code == 2
    assert "is no package" in refused.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["{s}:v1", "{s}@" + "sha256:" + "0" * 64], 2, "its digest follows"),
        (["{s}:none", "{t}"], 3, "has no manifest"),
        (["{s}:v1", "{t}", "--all"], 2, "--all copies whole"),
        (["{s}:v1", "localhost:1/a/b"], 6, "cannot be reached"),
        (["localhost:1/a/b", "{t}"], 6, "cannot be reached"),
        (["{s}:v1", "{t}", "--jobs", "0"], 2, "--jobs"),
        (["{s}:", "{t}"], 2, "must be HOST"),
    ],
)
def test_what_copy_refuses(cnr: Run, source: OciRepository, home: str, words: list[str], code: int, text: str) -> None:
    source.image(b"x", tag="v1")
    filled = [word.format(s=source.address, t=f"{home}/t") for word in words]
    refused = cnr("copy", *filled)
    assert (refused.code, refused.out) == (code, "")
    assert text in refused.err
    assert refused.err.count("\n") == 1


def test_a_foreign_layer_is_left_where_it_is(cnr: Run, source: OciRepository, second: str, home: str) -> None:
    source.blob(b"{}")
    whole = json.loads(image(b"base"))
    whole["layers"][0] |= {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "urls": ["http://127.0.0.1:1/base"],
    }
    manifest = source.manifest(json.dumps(whole).encode(), "win")
    target = there(second, home)
    copied = cnr("copy", f"{source.address}:win", target.address)
    assert copied.code == 0
    assert "is kept elsewhere" in copied.err
    assert target.get("win") == manifest
