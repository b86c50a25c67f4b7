"""What may change after a push: immutability x protocol x action, through real HTTP.

Cases 100 and 102 of oci-helm.md section 7; hostile-inputs.md, "create vs update".
"""

import itertools
import json
import os
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import (
    INDEX,
    MANIFEST,
    Oci,
    chart_archive,
    chart_manifest,
    code,
    descriptor,
    digest,
    image,
)
from tests.protocols.oci.test_cases_one_model import cnr, cnr_push, kpm, manifest_digest, releases, short

from cnr.cli.main import main

_numbers = itertools.count(1)
NEW = b"other: 1\n"
Rules = Callable[..., Oci]


@pytest.fixture
def under(server: Server, http: httpx.Client) -> Rules:
    """A repository in a namespace of its own under these rules, which a running server must follow at once."""

    def make(*rules: str) -> Oci:
        oci = Oci.fresh(http, namespace=f"rules{next(_numbers)}")
        put_under(server, oci, *rules)
        return oci

    return make


def put_under(server: Server, oci: Oci, *rules: str) -> None:
    namespace = oci.name.partition("/")[0]
    with patch.dict(os.environ, server.settings):
        assert not rules or main(["namespace", "set", namespace, *rules]) == 0


def oci_retag(oci: Oci) -> httpx.Response:
    return oci.chart("1.0.0", extra=NEW)


def oci_by_digest(oci: Oci) -> httpx.Response:
    """The same over PUT of a digest with ?tag=; a tag that does not move is left out of the answer, no error."""
    config = json.dumps({"name": short(oci), "version": "1.0.0"}).encode()
    archive = chart_archive(short(oci), "1.0.0", extra=NEW)
    for blob in (config, archive):
        oci.blob(blob)
    data = chart_manifest(config, archive)
    return oci.put(digest(data), data, params={"tag": ["1.0.0"]})


def oci_image(oci: Oci) -> httpx.Response:
    oci.blob(b"{}")
    oci.blob(b"layer")
    return oci.put("1.0.0", image(b"layer"))


def cnr_again(oci: Oci) -> httpx.Response:
    return cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0", extra=NEW))


def cnr_body_force(oci: Oci) -> httpx.Response:
    return cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0", extra=NEW), force=True)


def cnr_query_force(oci: Oci) -> httpx.Response:
    return _query(oci, "true")


def cnr_query_force_body_not(oci: Oci) -> httpx.Response:
    return _query(oci, "true", force="false")


def _query(oci: Oci, asked: str, **body: Any) -> httpx.Response:
    archive = chart_archive(short(oci), "1.0.0", extra=NEW)
    old = oci.http
    with httpx.Client(base_url=old.base_url, timeout=60, params={"force": asked}) as http:
        return cnr_push(Oci(http, oci.name), "1.0.0", archive, **body)


MATRIX = [
    ((), {"cnr_body_force", "cnr_query_force"}),
    (("--immutability", "releases"), {"cnr_body_force", "cnr_query_force"}),
    (("--immutability", "releases", "--no-force"), set()),
    (("--immutability", "strict"), set()),
    (("--immutability", "strict", "--force"), set()),
    (
        ("--immutability", "none"),
        {"oci_retag", "oci_by_digest", "oci_image", "cnr_body_force", "cnr_query_force"},
    ),
    (("--immutability", "none", "--no-force"), {"oci_retag", "oci_by_digest", "oci_image"}),
]
ACTIONS = (
    *(oci_retag, oci_by_digest, oci_image),
    *(cnr_again, cnr_body_force, cnr_query_force, cnr_query_force_body_not),
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
@pytest.mark.parametrize(("rules", "allowed"), MATRIX, ids=[" ".join(rules) or "default" for rules, _ in MATRIX])
def test_other_content_for_a_release(under: Rules, rules: tuple[str, ...], allowed: set[str], action: Any) -> None:
    oci = under(*rules)
    assert oci.chart("1.0.0").status_code == 201
    before, shown = manifest_digest(oci, "1.0.0"), cnr(oci, "GET", "/1.0.0/helm").text
    answer = action(oci)
    if action.__name__ in allowed:
        assert answer.status_code in (200, 201), answer.text
        assert manifest_digest(oci, "1.0.0") != before
        assert cnr(oci, "GET", "/1.0.0/helm").text != shown
        return
    if action is oci_by_digest:
        assert (answer.status_code, answer.headers.get("oci-tag")) == (201, None)
    elif action.__name__.startswith("oci"):
        assert (answer.status_code, code(answer)) == (403, "DENIED")
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "package-exists")
        assert answer.json()["error"]["details"]["release"] == "1.0.0"
    assert manifest_digest(oci, "1.0.0") == before
    assert cnr(oci, "GET", "/1.0.0/helm").text == shown


@pytest.mark.parametrize("rules", [(), ("--immutability", "strict"), ("--immutability", "none")])
def test_case_102_equal_content_is_allowed_everywhere(under: Rules, rules: tuple[str, ...]) -> None:
    oci = under(*rules)
    assert oci.chart("1.0.0").status_code == 201
    shown = cnr(oci, "GET", "/1.0.0/helm").text
    answer = oci.chart("1.0.0", created="2026-02-02T00:00:00Z")
    assert answer.status_code == 201
    assert manifest_digest(oci, "1.0.0") == answer.headers["docker-content-digest"]
    assert cnr(oci, "GET", "/1.0.0/helm").text == shown
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200, "another format is no change of the release"


def delete_tag(oci: Oci) -> None:
    assert oci.call("DELETE", "manifests/1.0.0").status_code == 202


def delete_digest(oci: Oci) -> None:
    assert oci.call("DELETE", f"manifests/{manifest_digest(oci, '1.0.0')}").status_code == 202


def delete_release(oci: Oci) -> None:
    assert cnr(oci, "DELETE", "/1.0.0/helm").status_code == 200


DELETES = (delete_tag, delete_digest, delete_release)


@pytest.mark.parametrize("delete", DELETES, ids=lambda each: each.__name__)
def test_case_100_a_deleted_release_comes_back_as_it_was(under: Rules, delete: Callable[[Oci], None]) -> None:
    oci = under("--immutability", "strict")
    archive = chart_archive(short(oci), "1.0.0")
    assert cnr_push(oci, "1.0.0", archive).status_code == 200
    delete(oci)
    assert (releases(oci), oci.tags()) == (set(), [])
    assert code(oci_retag(oci)) == "DENIED"
    assert code(oci_image(oci)) == "DENIED"
    assert oci_by_digest(oci).headers.get("oci-tag") is None
    for refused in (cnr_again(oci), cnr_body_force(oci), cnr_push(oci, "1.0.0", kpm(), "kpm")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "package-exists")
        assert "was deleted" in refused.json()["error"]["message"]
    assert (releases(oci), oci.tags()) == (set(), [])
    assert oci.chart("1.0.0").status_code == 201, "the same chart in another manifest"
    delete(oci)
    assert cnr_push(oci, "1.0.0", archive).status_code == 200
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200, "live again, it may get more"


@pytest.mark.parametrize("delete", DELETES, ids=lambda each: each.__name__)
def test_case_100_without_strict_it_comes_back_as_anything(under: Rules, delete: Callable[[Oci], None]) -> None:
    oci = under()
    assert cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0")).status_code == 200
    delete(oci)
    assert oci_retag(oci).status_code == 201
    delete(oci)
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200


def test_case_100_one_format_of_several(under: Rules) -> None:
    oci = under("--immutability", "strict")
    assert oci.chart("1.0.0").status_code == 201
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    assert cnr(oci, "DELETE", "/1.0.0/kpm").status_code == 200
    assert cnr_push(oci, "1.0.0", kpm("b: 2"), "kpm").status_code == 409
    delete_tag(oci)
    assert cnr_push(oci, "1.0.0", kpm("b: 2"), "kpm").status_code == 409
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    assert code(oci_retag(oci)) == "DENIED", "what helm was is remembered beside it"
    assert oci.chart("1.0.0").status_code == 201
    assert releases(oci) == {("1.0.0", "helm"), ("1.0.0", "kpm")}


def test_cases_99_and_100_the_tag_s_manifest_of_two_formats(under: Rules) -> None:
    oci = under("--immutability", "strict")
    assert oci.chart("1.0.0").status_code == 201
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    delete_digest(oci)
    assert oci.get("manifests/1.0.0").status_code == 404
    assert releases(oci) == {("1.0.0", "kpm")}
    assert cnr(oci, "GET", "/1.0.0/kpm/pull").content == kpm()
    for refused in (oci_retag(oci), oci_image(oci)):
        assert (refused.status_code, code(refused)) == (403, "DENIED")
    assert cnr_again(oci).status_code == 409
    assert oci.chart("1.0.0").status_code == 201
    assert releases(oci) == {("1.0.0", "kpm"), ("1.0.0", "helm")}


@pytest.mark.parametrize("delete", [delete_tag, delete_digest], ids=lambda each: each.__name__)
def test_case_100_what_is_no_package(under: Rules, delete: Callable[[Oci], None]) -> None:
    oci = under("--immutability", "strict")
    data = oci.image("1.0.0", b"1")
    assert cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0")).status_code == 409
    delete(oci)
    oci.blob(b"2")
    assert code(oci.put("1.0.0", image(b"2"))) == "DENIED"
    assert code(oci.chart("1.0.0")) == "DENIED"
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 409
    assert oci.put("1.0.0", data).status_code == 201


def test_rules_that_are_set_later_hold_from_the_next_push_on(server: Server, under: Rules) -> None:
    oci = under()
    assert oci.chart("1.0.0").status_code == 201
    assert cnr_body_force(oci).status_code == 200
    put_under(server, oci, "--immutability", "strict")
    assert cnr_body_force(oci).status_code == 409
    put_under(server, oci, "--immutability", "none")
    assert oci_retag(oci).status_code == 201


def test_none_a_tag_that_moves_takes_every_view_along(under: Rules) -> None:
    oci = under("--immutability", "none")
    assert oci.chart("1.0.0").status_code == 201
    assert cnr(oci, "POST", "/channels/stable/1.0.0").status_code == 200
    assert oci_retag(oci).status_code == 201
    archive = chart_archive(short(oci), "1.0.0", extra=NEW)
    assert cnr(oci, "GET", "/1.0.0/helm/pull").content == archive
    assert manifest_digest(oci, "stable") == manifest_digest(oci, "1.0.0")
    assert oci_image(oci).status_code == 201
    assert cnr(oci, "GET", "/1.0.0/helm").status_code == 404
    assert (releases(oci), oci.tags()) == (set(), ["1.0.0"])
    listed = oci.http.get("/cnr/api/v1/packages", params={"namespace": oci.name.partition("/")[0]}).json()
    assert listed == []
    assert oci.get("manifests/stable").status_code == 404, "the channel's release is gone"
    assert cnr_push(oci, "1.0.0", archive).status_code == 409
    assert oci.chart("1.0.0").status_code == 201
    assert releases(oci) == {("1.0.0", "helm")}


def test_none_another_format_stays_when_the_chart_is_replaced(under: Rules) -> None:
    oci = under("--immutability", "none")
    assert oci.chart("1.0.0").status_code == 201
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    assert oci_retag(oci).status_code == 201
    assert releases(oci) == {("1.0.0", "helm"), ("1.0.0", "kpm")}
    found = oci.get("manifests/1.0.0", headers={"accept": INDEX}).json()
    assert found["manifests"][0]["digest"] == manifest_digest(oci, "1.0.0")


LENIENT = ["v1.2", "1.0", "v1.2.3", "1.0_b.1", "2"]


@pytest.mark.parametrize("tag", LENIENT)
def test_a_version_that_only_helm_takes(under: Rules, tag: str) -> None:
    oci = under()
    version = tag.replace("_", "+")
    assert oci.chart(version).status_code == 201
    before = manifest_digest(oci, tag)
    assert oci.tags() == [tag]
    assert releases(oci) == set()
    listed = oci.http.get("/cnr/api/v1/packages", params={"namespace": oci.name.partition("/")[0]}).json()
    assert listed == []
    for refused in (oci.chart(version, extra=NEW), oci.put(tag, oci.image("plain", b"x"))):
        assert (refused.status_code, code(refused)) == (403, "DENIED")
    assert manifest_digest(oci, tag) == before
    assert oci.chart(version, created="2026-02-02T00:00:00Z").status_code == 201
    assert oci.call("DELETE", f"manifests/{tag}").status_code == 202
    assert oci.chart(version, extra=NEW).status_code == 201
    assert oci.call("DELETE", f"manifests/{tag}").status_code == 202
    assert oci.put(tag, oci.image("plain", b"x")).status_code == 201
    assert oci.put(tag, oci.image("plain", b"y")).status_code == 201, "an image's tag is a plain one, and moves"


def test_a_channel_may_not_have_a_release_s_name(under: Rules) -> None:
    oci = under()
    for version in ("1.0.0", "v1.2"):
        assert oci.chart(version).status_code == 201
    assert cnr(oci, "POST", "/channels/v1.2/1.0.0").status_code == 409
    assert cnr(oci, "POST", "/channels/v1.3/1.0.0").status_code == 200
    assert oci.call("DELETE", "manifests/v1.2").status_code == 202
    assert cnr(oci, "POST", "/channels/v1.2/1.0.0").status_code == 200
    assert oci.chart("v1.3").status_code == 201, "a channel moves, also to what makes it a release"
    assert cnr(oci, "GET", "/channels/v1.3").status_code == 404
    assert manifest_digest(oci, "v1.2") == manifest_digest(oci, "1.0.0")


def test_lenient_releases_are_remembered_too(under: Rules) -> None:
    oci = under("--immutability", "strict")
    for version in ("1.0.0", "v1.2"):
        assert oci.chart(version).status_code == 201
    assert oci.call("DELETE", "manifests/v1.2").status_code == 202
    assert code(oci.chart("v1.2", extra=NEW)) == "DENIED"
    assert code(oci.put("v1.2", oci.image("plain", b"x"))) == "DENIED"
    assert cnr(oci, "POST", "/channels/v1.2/1.0.0").status_code == 409
    assert oci.chart("v1.2").status_code == 201


def test_lenient_tags_move_under_none(under: Rules) -> None:
    oci = under("--immutability", "none")
    assert oci.chart("v1.2").status_code == 201
    assert oci.chart("v1.2", extra=NEW).status_code == 201
    assert oci.put("v1.2", oci.image("plain", b"x")).status_code == 201
    assert oci.chart("v1.2").status_code == 201


def test_a_client_s_index_stays_at_its_tag(under: Rules) -> None:
    """6.3: the target is the manifest last pushed by an OCI client; its index is returned to everybody."""
    oci = under()
    children = []
    for format, archive in {"kpm": kpm(), "appr": kpm("b: 2")}.items():
        oci.blob(b"{}")
        oci.blob(archive)
        data = image(archive, artifactType=f"application/vnd.cnr.package-manifest.{format}.v1.json")
        assert oci.put(digest(data), data).status_code == 201
        children.append(descriptor(data, MANIFEST))
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).encode()
    assert oci.put("1.0.0", index, INDEX).status_code == 201
    assert cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0")).status_code == 200
    for accept in (INDEX, MANIFEST, "*/*"):
        assert manifest_digest(oci, "1.0.0", accept) == digest(index)
    assert cnr(oci, "DELETE", "/1.0.0/appr").status_code == 200
    assert oci.get("manifests/1.0.0").json()["config"]["mediaType"].startswith("application/vnd.cncf.helm.")
    assert releases(oci) == {("1.0.0", "kpm"), ("1.0.0", "helm")}


def test_adding_a_format_leaves_a_client_s_manifest_at_the_tag(under: Rules) -> None:
    oci = under()
    oci.blob(b"{}")
    oci.blob(kpm())
    data = image(kpm(), artifactType="application/vnd.cnr.package-manifest.kpm.v1.json")
    assert oci.put("1.0.0", data).status_code == 201
    assert cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0")).status_code == 200
    assert manifest_digest(oci, "1.0.0") == digest(data)
    assert cnr_push(oci, "1.0.0", kpm("b: 2"), "kpm", force=True).status_code == 200
    assert oci.get("manifests/1.0.0").json()["config"]["mediaType"].startswith("application/vnd.cncf.helm.")
