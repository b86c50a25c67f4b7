import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.archive import PackageContents, inspect
from cnr.domain.chart import helm_chart, parse_chart
from cnr.domain.digest import Digest, TarDigest, sha256
from cnr.domain.errors import InvalidUsage
from cnr.domain.limits import Limits
from cnr.domain.manifest import (
    EMPTY,
    HELM_CHART_LAYER,
    HELM_CONFIG,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Child,
    Composed,
    Layer,
    file_name,
    helm_manifest,
    package_manifest,
    parse_manifest,
    release_index,
    rfc3339,
)
from cnr.domain.names import Format, PackageName
from cnr.domain.version import Release

GOLDEN = Path(__file__).parents[1] / "golden"
SEED_TIME = 1479316387806579
HELM, KPM, COMPOSE = Format("helm"), Format("kpm"), Format("docker-compose")
LAYER = Layer(Digest("sha256:" + "a" * 64), 583, TarDigest("b" * 64))


def golden(name: str) -> bytes:
    """A golden file. Its bytes are for ever: a change here needs a new media type, not a new file."""
    return (GOLDEN / name).read_bytes()


def layer_of(contents: PackageContents) -> Layer:
    return Layer(contents.digest, contents.size, contents.tar_digest)


def seed_push(seed_readme: str) -> Composed:
    packed = base64.b64decode(next(line for line in seed_readme.splitlines() if line.startswith("H4sIAGBo")))
    contents = inspect([packed], Limits(), HELM)
    package = PackageName("myname", "elasticsearch")
    return package_manifest(package, Release("2.2.1"), HELM, layer_of(contents), created_at=SEED_TIME)


def visible_chart(corpus: Any) -> Composed:
    contents = inspect([corpus.read("helm/alertmanager-1.38.2.tgz")], Limits(), HELM)
    chart = helm_chart(contents, "alertmanager", "1.38.2")
    return helm_manifest(chart, layer_of(contents), created_at=SEED_TIME)


def compose_app(corpus: Any) -> Composed:
    contents = inspect([corpus.read("docker-compose/angular-1.0.0.tgz")], Limits(), COMPOSE)
    package = PackageName("awesome-compose", "angular")
    return package_manifest(package, Release("1.0.0"), COMPOSE, layer_of(contents), created_at=SEED_TIME)


def child(format: Format, made: Composed) -> Child:
    return Child(format, sha256(made.data), MANIFEST_TYPE, made.data)


def test_golden_the_push_of_the_seed(seed_readme: str) -> None:
    made = seed_push(seed_readme)
    assert made.data == golden("seed.manifest.json")
    assert made.config == EMPTY


def test_golden_a_chart_that_helm_sees(corpus: Any) -> None:
    made = visible_chart(corpus)
    assert made.data == golden("helm.manifest.json")
    assert made.config == golden("helm.config.json")


def test_golden_a_compose_application(corpus: Any) -> None:
    assert compose_app(corpus).data == golden("docker-compose.manifest.json")


def test_golden_the_index_of_two_formats(corpus: Any) -> None:
    helm, compose = child(HELM, visible_chart(corpus)), child(COMPOSE, compose_app(corpus))
    assert release_index([compose, helm], Release("1.38.2"), subject=helm) == golden("release.index.json")


def test_a_helm_manifest_says_what_helm_push_says() -> None:
    chart = parse_chart(
        b"name: app\nversion: 1.0.0+b\ndescription: An app\nhome: https://app.test\n"
        b"sources: [https://s.test, https://t.test]\nmaintainers: [{name: Ada, email: a@b.test}, {name: Bob}]\n"
        b"annotations: {org.opencontainers.image.title: no, org.opencontainers.image.version: no, mine: yes}\n"
    )
    made = helm_manifest(chart, LAYER, created_at=SEED_TIME)
    manifest = parse_manifest(made.data)
    assert manifest.annotations == {
        "org.opencontainers.image.title": "app",
        "org.opencontainers.image.version": "1.0.0+b",
        "org.opencontainers.image.description": "An app",
        "org.opencontainers.image.url": "https://app.test",
        "org.opencontainers.image.source": "https://s.test",
        "org.opencontainers.image.authors": "Ada (a@b.test), Bob",
        "org.opencontainers.image.created": "2016-11-16T17:13:07.806579Z",
        "mine": "yes",
    }
    assert manifest.media_type == MANIFEST_TYPE
    assert manifest.kind == HELM_CONFIG
    assert manifest.config is not None
    assert (manifest.config.digest, manifest.config.size) == (sha256(made.config), len(made.config))
    (layer,) = manifest.layers or ()
    assert (layer.media_type, layer.digest, layer.size) == (HELM_CHART_LAYER, LAYER.digest, LAYER.size)
    assert layer.annotations == {"dev.cnr.tar.digest": "sha256:" + LAYER.tar_digest}


def test_what_a_chart_does_not_say_is_left_out() -> None:
    made = helm_manifest(parse_chart(b"name: app\nversion: 1.0.0\nhome: ' '"), LAYER, created_at=0)
    keys = set(json.loads(made.data)["annotations"])
    assert {key.rpartition(".")[2] for key in keys} == {"title", "version", "created"}


def test_a_package_manifest_is_an_artifact_with_a_named_file() -> None:
    made = package_manifest(PackageName("ns", "app"), Release("1.0.0+b"), KPM, LAYER, created_at=SEED_TIME)
    manifest = parse_manifest(made.data)
    assert manifest.artifact_type == manifest.kind == "application/vnd.cnr.package-manifest.kpm.v1.json"
    assert manifest.config is not None
    assert manifest.config.media_type == "application/vnd.oci.empty.v1+json"
    assert base64.b64decode(manifest.config.data or "") == made.config == b"{}"
    assert manifest.config.digest == "sha256:" + hashlib.sha256(b"{}").hexdigest()
    (layer,) = manifest.layers or ()
    assert layer.media_type == "application/vnd.cnr.package.kpm.v1.tar+gzip"
    assert layer.annotations is not None
    assert layer.annotations["org.opencontainers.image.title"] == "ns_app_1.0.0+b.tar.gz"
    assert manifest.annotations is not None
    assert manifest.annotations["dev.cnr.format"] == "kpm"


def test_bytes_are_compact_and_sorted(corpus: Any, seed_readme: str) -> None:
    for data in (visible_chart(corpus).data, visible_chart(corpus).config, seed_push(seed_readme).data):
        assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_an_index_does_not_depend_on_the_order_of_pushes(corpus: Any, seed_readme: str) -> None:
    helm, compose, kpm = (
        child(HELM, visible_chart(corpus)),
        child(COMPOSE, compose_app(corpus)),
        child(KPM, seed_push(seed_readme)),
    )
    data = release_index([kpm, compose, helm], Release("1.0.0"), subject=helm)
    assert data == release_index([helm, kpm, compose], Release("1.0.0"), subject=helm)
    index = parse_manifest(data)
    assert index.media_type == INDEX_TYPE
    assert index.artifact_type == "application/vnd.cnr.release.v1+json"
    children = index.manifests or ()
    assert [item.digest for item in children] == [helm.digest, compose.digest, kpm.digest]
    assert [(item.annotations or {})["dev.cnr.format"] for item in children] == ["helm", "docker-compose", "kpm"]
    assert children[0].artifact_type == HELM_CONFIG
    assert index.subject is not None
    assert (index.subject.digest, index.subject.size) == (helm.digest, len(helm.data))
    assert b"platform" not in data


def test_an_index_without_helm_has_no_subject(corpus: Any, seed_readme: str) -> None:
    children = [child(KPM, seed_push(seed_readme)), child(COMPOSE, compose_app(corpus))]
    assert "subject" not in json.loads(release_index(children, Release("1.0.0")))


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (SEED_TIME, "2016-11-16T17:13:07.806579Z"),
        (SEED_TIME - 806579, "2016-11-16T17:13:07.000000Z"),
        (4102444800 * 10**6, "2100-01-01T00:00:00.000000Z"),
    ],
)
def test_times(at: int, text: str) -> None:
    assert rfc3339(at) == text


def test_file_names() -> None:
    assert file_name(PackageName("myname", "elasticsearch"), "2.2.1") == "myname_elasticsearch_2.2.1.tar.gz"


def test_reads_what_others_write() -> None:
    manifest = parse_manifest(
        b'{"schemaVersion": 2, "config": {"mediaType": "c", "digest": "sha256:x", "size": 1, "urls": ["u"]},'
        b' "layers": [], "future": {"a": [1, null]}, "annotations": null}'
    )
    assert (manifest.media_type, manifest.kind, manifest.layers, manifest.annotations) == (None, "c", (), None)
    assert parse_manifest(b'{"manifests": []}').kind is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[1]",
        b"\xff",
        b'{"layers": 3}',
        b'{"config": {"mediaType": "c"}}',
        b'{"annotations": {"a": 1}}',
        b'{"annotations": {"a": "\\ud800"}}',
        b'{"manifests": [], "layers": []}',
        b'{"manifests": [], "config": {"mediaType": "c", "digest": "d", "size": 1}}',
        b'{"size": NaN}',
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b'{"a":' * 100_000,
    ],
)
def test_refuses_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(InvalidUsage):
        parse_manifest(data)


@given(st.binary(max_size=100) | st.text(max_size=60).map(lambda text: json.dumps({"layers": text}).encode()))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_manifest(data)
    except InvalidUsage as exc:
        assert len(exc.message) < 300  # noqa: PT017 - either outcome is right
