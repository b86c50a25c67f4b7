"""The cases of oci-helm.md section 7 that belong to the classic repository and the ChartMuseum API."""

import base64
import gzip
import hashlib
import json
import random
import re
import sys
from datetime import datetime
from typing import Any

import httpx
import pytest
import yaml
from tests.protocols.helm.client import PROVENANCE, Tenant, archive, chart_file, helm_push, hostile_chart, provenance

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONSTRUCTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
VERSION_FIELDS = {
    *("name", "home", "sources", "version", "description", "keywords", "maintainers", "icon", "apiVersion"),
    *("condition", "tags", "appVersion", "deprecated", "annotations", "kubeVersion", "dependencies", "type"),
    *("urls", "created", "digest"),
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def error(answer: httpx.Response) -> str:
    found = answer.json()
    assert list(found) == ["error"], found
    return str(found["error"])


def cnr_push(tenant: Tenant, name: str, release: str, data: bytes, format: str = "helm") -> httpx.Response:
    body = {"release": release, "media_type": format, "blob": base64.b64encode(data).decode()}
    return tenant.http.post(f"/cnr/api/v1/packages/{tenant.name}/{name}", json=body)


def cnr_show(tenant: Tenant, name: str, release: str, format: str = "helm") -> httpx.Response:
    return tenant.http.get(f"/cnr/api/v1/packages/{tenant.name}/{name}/{release}/{format}")


def test_case_70_helm_push_is_listed_at_once(tenant: Tenant) -> None:
    data = chart_file("app", "1.2.3")
    assert helm_push(tenant.oci("app"), data, "1.2.3").status_code == 201
    assert tenant.versions("app") == ["1.2.3"]
    assert tenant.oci("app").tags() == ["1.2.3"]
    assert tenant.http.get(tenant.api("charts/app/1.2.3")).json()["digest"] == sha256(data)
    assert cnr_show(tenant, "app", "1.2.3").status_code == 200
    assert tenant.get("charts/app-1.2.3.tgz").content == data


def test_case_71_chartmuseum_to_oci_is_byte_identical(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0", level=3)
    answer = tenant.push(data)
    assert (answer.status_code, answer.json()) == (201, {"saved": True})
    layer = tenant.oci("app").get("manifests/1.0.0").json()["layers"][0]
    assert layer["digest"] == f"sha256:{sha256(data)}"
    assert tenant.oci("app").get(f"blobs/{layer['digest']}").content == data
    assert tenant.index()["entries"]["app"][0]["digest"] == sha256(data)


def test_another_gzip_of_a_tar_that_was_deleted_is_served_as_it_was_pushed(tenant: Tenant) -> None:
    first, second = chart_file("app", "1.0.0", level=1), chart_file("app", "1.0.0", level=9)
    assert first != second
    assert tenant.push(first).status_code == 201
    assert tenant.delete("app", "1.0.0").status_code == 200
    assert tenant.push(second).status_code == 201
    assert tenant.get("charts/app-1.0.0.tgz").content == second
    assert tenant.index()["entries"]["app"][0]["digest"] == sha256(second)


def test_case_72_a_cnr_push_is_in_the_index(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    assert cnr_push(tenant, "app", "1.0.0", data).status_code == 200
    assert tenant.get("charts/app-1.0.0.tgz").content == data
    rootless = archive({"Chart.yaml": b"apiVersion: v2\nname: bare\nversion: 1.0.0\n"})
    assert cnr_push(tenant, "bare", "1.0.0", rootless).status_code == 200
    served = tenant.get("charts/bare-1.0.0.tgz").content
    assert tenant.index()["entries"]["bare"][0]["digest"] == sha256(served) != sha256(rootless)


def test_case_73_what_helm_does_not_see_is_absent(tenant: Tenant) -> None:
    assert cnr_push(tenant, "kpm", "1.0.0", chart_file("kpm", "1.0.0"), "kpm").status_code == 200
    assert cnr_push(tenant, "other", "2.0.0", chart_file("other", "1.0.0")).status_code == 200
    assert tenant.index()["entries"] == {}
    assert tenant.get("charts/kpm-1.0.0.tgz").status_code == 404
    assert tenant.get("charts/other-2.0.0.tgz").status_code == 404


def test_cases_78_to_80_build_metadata(tenant: Tenant) -> None:
    for version in ("1.0.0+b.1", "1.0.0+a"):
        assert tenant.push(chart_file("app", version)).status_code == 201
    assert sorted(tenant.oci("app").tags()) == ["1.0.0_a", "1.0.0_b.1"]
    entries = tenant.index()["entries"]["app"]
    assert [entry["version"] for entry in entries] == ["1.0.0+b.1", "1.0.0+a"]
    assert entries[0]["urls"] == ["charts/app-1.0.0+b.1.tgz"]
    raw, encoded = tenant.get("charts/app-1.0.0+b.1.tgz"), tenant.get("charts/app-1.0.0%2Bb.1.tgz")
    assert raw.content == encoded.content == chart_file("app", "1.0.0+b.1")
    assert cnr_show(tenant, "app", "1.0.0+b.1").status_code == 200
    assert len({tenant.get("index.yaml").content for _ in range(100)}) == 1


def test_case_83_a_chart_of_another_name_or_version_is_stored_only(tenant: Tenant) -> None:
    for config in ({"name": "app", "version": "1.0.0"}, {"name": "app", "version": "2.0.0"}):
        oci = tenant.oci("app")
        answer = helm_push(oci, chart_file("app", "1.0.0"), "2.0.0", config=config)
        assert answer.status_code in (201, 403)
    assert helm_push(tenant.oci("other"), chart_file("app", "1.0.0"), "1.0.0").status_code == 201
    assert tenant.index()["entries"] == {}


@pytest.mark.parametrize("config", [{}, [], {"name": "x"}, {"name": 1}, {"maintainers": [None]}, "text"])
def test_a_config_that_says_something_else_is_not_believed(tenant: Tenant, config: Any) -> None:
    data = chart_file("app", "1.0.0", home="https://example.com")
    assert helm_push(tenant.oci("app"), data, "1.0.0", config=config).status_code == 201
    [entry] = tenant.index()["entries"]["app"]
    assert (entry["version"], entry["home"]) == ("1.0.0", "https://example.com")


def test_case_84_layers_in_either_order(tenant: Tenant) -> None:
    orders = set()
    for number in range(12):
        version = f"1.0.{number}"
        data = chart_file("app", version)
        prov = provenance("app", version, data)
        assert helm_push(tenant.oci("app"), data, version, prov=prov).status_code == 201
        layers = tenant.oci("app").get(f"manifests/{version}").json()["layers"]
        orders.add(layers[0]["mediaType"])
        assert tenant.get(f"charts/app-{version}.tgz").content == data
        answer = tenant.get(f"charts/app-{version}.tgz.prov")
        assert (answer.content, answer.headers["content-type"]) == (prov, "application/pgp-signature")
    assert len(orders) == 2


def test_case_85_provenance_after_a_chart_of_the_server(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    assert tenant.push(data).status_code == 201
    before = tenant.oci("app").call("HEAD", "manifests/1.0.0").headers["docker-content-digest"]
    prov = provenance("app", "1.0.0", data)
    assert tenant.get("charts/app-1.0.0.tgz.prov").status_code == 404
    assert tenant.http.post(tenant.api("prov"), content=prov).status_code == 201
    manifest = tenant.oci("app").get("manifests/1.0.0")
    assert manifest.headers["docker-content-digest"] != before
    [layer] = [layer for layer in manifest.json()["layers"] if layer["mediaType"] == PROVENANCE]
    assert tenant.oci("app").get(f"blobs/{layer['digest']}").content == prov
    assert tenant.get("charts/app-1.0.0.tgz.prov").content == prov
    assert tenant.get("charts/app-1.0.0.tgz").content == data
    assert tenant.http.post(tenant.api("prov"), content=prov).status_code == 409
    assert tenant.http.post(tenant.api("prov") + "?force", content=prov).status_code == 201


def test_case_85_provenance_after_a_chart_of_a_client(tenant: Tenant) -> None:
    data, oci = chart_file("app", "1.0.0"), tenant.oci("app")
    assert helm_push(oci, data, "1.0.0").status_code == 201
    before = oci.call("HEAD", "manifests/1.0.0").headers["docker-content-digest"]
    prov, other = provenance("app", "1.0.0", data), provenance("app", "1.0.0", data) + b"\n"
    assert tenant.push_form(prov=prov).status_code == 201
    assert oci.call("HEAD", "manifests/1.0.0").headers["docker-content-digest"] == before
    assert tenant.get("charts/app-1.0.0.tgz.prov").content == prov
    [referrer] = oci.get(f"referrers/{before}").json()["manifests"]
    assert referrer["artifactType"] == PROVENANCE
    assert tenant.push_form(prov=prov).status_code == 409
    assert tenant.push_form("?force", prov=other).status_code == 201
    assert tenant.get("charts/app-1.0.0.tgz.prov").content == other
    assert len(oci.get(f"referrers/{before}").json()["manifests"]) == 1
    assert tenant.delete("app", "1.0.0").status_code == 200
    assert tenant.get("charts/app-1.0.0.tgz.prov").status_code == 404
    assert helm_push(oci, data, "1.0.0").status_code == 201
    assert tenant.get("charts/app-1.0.0.tgz.prov").status_code == 404


def test_provenance_in_a_manifest_of_a_client_stays_as_it_was_signed(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    prov = provenance("app", "1.0.0", data)
    assert helm_push(tenant.oci("app"), data, "1.0.0", prov=prov).status_code == 201
    assert tenant.push_form("?force", prov=prov + b"\n").status_code == 409
    assert tenant.get("charts/app-1.0.0.tgz.prov").content == prov


@pytest.mark.parametrize(
    "wrong",
    [
        {"file": "app-1.0.1.tgz"},
        {"file": "../app-1.0.0.tgz"},
        {"digest": "sha256:" + "0" * 64},
        {"digest": "sha256:../../x"},
        {"version": "1.0.1"},
        {"name": "other"},
        {"name": "../x"},
    ],
)
@pytest.mark.parametrize("way", ["with the chart", "form", "body"])
def test_case_86_provenance_of_something_else(tenant: Tenant, wrong: dict[str, str], way: str) -> None:
    data = chart_file("app", "1.0.0")
    about = {"name": "app", "version": "1.0.0", **wrong}
    prov = provenance(about.pop("name"), about.pop("version"), data, **about)
    if way == "with the chart":
        answer = tenant.push_form(chart=data, prov=prov)
        assert tenant.index()["entries"] == {}
    else:
        assert tenant.push(data).status_code == 201
        answer = tenant.push_form(prov=prov) if way == "form" else tenant.http.post(tenant.api("prov"), content=prov)
        assert tenant.get("charts/app-1.0.0.tgz.prov").status_code == 404
    assert answer.status_code == 400
    assert error(answer)


def test_cases_87_and_88_strict_yaml(tenant: Tenant) -> None:
    assert tenant.push(hostile_chart("1.0.0")).status_code == 201
    text = tenant.get("index.yaml").text
    found = yaml.load(text, Loader=yaml.SafeLoader)
    assert found == json.loads(text) or found["generated"]  # YAML makes a time of generated only where it is unquoted
    assert set(found) == {"apiVersion", "entries", "generated", "serverInfo"}
    [entry] = found["entries"]["app"]
    assert set(entry) <= VERSION_FIELDS
    for moment in (entry["created"], found["generated"]):
        assert CONSTRUCTED.fullmatch(moment)
        assert datetime.fromisoformat(moment).tzinfo is not None
    assert re.fullmatch("[0-9a-f]{64}", entry["digest"])
    assert (entry["appVersion"], entry["annotations"]["n"]) == ("1.10", "1.10")
    assert set(entry["annotations"]) == {"a/b", "n"}
    assert "icon" not in entry
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", text)


def test_case_89_conditions_and_encodings(tenant: Tenant) -> None:
    assert tenant.push(chart_file("app", "1.0.0", description="x" * 900)).status_code == 201
    plain = tenant.get("index.yaml", headers={"accept-encoding": "identity"})
    assert plain.headers["etag"] == f'"{sha256(plain.content)}"'
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.headers["content-type"] == "application/x-yaml"
    assert plain.headers["vary"] == "Accept-Encoding"
    assert plain.headers["last-modified"].endswith("GMT")
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-length"] == str(len(plain.content))
    head = tenant.http.head(tenant.path("index.yaml"), headers={"accept-encoding": "identity"})
    own = {"date": "", "x-request-id": ""}
    assert {**head.headers, **own} == {**plain.headers, **own}
    assert head.content == b""
    zipped = tenant.get("index.yaml", headers={"accept-encoding": "br, gzip;q=0.5"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == plain.content
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert int(zipped.headers["content-length"]) < len(plain.content)
    refused = tenant.get("index.yaml", headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    for tag in (plain.headers["etag"], zipped.headers["etag"], "*", f'"x", W/{plain.headers["etag"]}'):
        answer = tenant.get("index.yaml", headers={"if-none-match": tag})
        assert (answer.status_code, answer.content) == (304, b"")
    assert tenant.push(chart_file("app", "1.0.1")).status_code == 201
    assert tenant.get("index.yaml", headers={"if-none-match": plain.headers["etag"]}).status_code == 200


def test_case_91_empty_and_unknown_tenants(tenant: Tenant) -> None:
    assert tenant.index()["entries"] == {}
    assert tenant.http.get(tenant.api()).json() == {}
    assert tenant.push(chart_file("app", "1.0.0")).status_code == 201
    assert tenant.delete("app", "1.0.0").status_code == 200
    assert tenant.index()["entries"] == {}
    assert tenant.http.get("/helm/Not-A-Name/index.yaml").status_code == 404


def test_case_92_forms(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    prov = provenance("app", "1.0.0", data)
    assert tenant.push_form(chart=data, prov=prov).status_code == 201
    assert tenant.get("charts/app-1.0.0.tgz.prov").content == prov
    second = chart_file("app", "1.0.1")
    assert tenant.push_form(chart=second).status_code == 201
    assert tenant.push_form(prov=provenance("app", "1.0.1", second)).status_code == 201
    assert error(tenant.push_form(other=data))
    for answer in (
        tenant.push_form(other=data),
        tenant.push_form(chart=b"no archive"),
        tenant.push(b"no archive"),
        tenant.push(b""),
        tenant.push_form(chart=chart_file("../../etc/x", "1.0.0")),
        tenant.push(chart_file("..", "1.0.0")),
        tenant.push(chart_file("app", "1.0.0/../../x")),
        tenant.push(chart_file("APP", "1.0.0")),
        tenant.push(chart_file("app", "1" * 129)),
        tenant.push(archive({"Chart.yaml": b"name: app\nversion: 3.0.0\napiVersion: v2\n"})),
        tenant.push_form(chart=second, prov=b"no signature"),
        tenant.http.post(tenant.api(), content=b"--b", headers={"content-type": "multipart/form-data"}),
        tenant.http.post(tenant.api(), content=b"--c\r\n", headers={"content-type": "multipart/form-data; boundary=b"}),
        tenant.http.post(tenant.api("prov"), content=b"no signature"),
    ):
        assert answer.status_code == 400, answer.text
        assert error(answer)
    assert tenant.versions("app") == ["1.0.1", "1.0.0"]


def test_case_93_duplicates(tenant: Tenant) -> None:
    data, other = chart_file("app", "1.0.0"), chart_file("app", "1.0.0", description="other")
    assert tenant.push(data).status_code == 201
    for again in (tenant.push(data), tenant.push(other), tenant.push_form(chart=other)):
        assert again.status_code == 409
        assert "already exists" in error(again)
    assert tenant.get("charts/app-1.0.0.tgz").content == data
    assert tenant.push(other, "?force").status_code == 201
    assert tenant.get("charts/app-1.0.0.tgz").content == other
    assert tenant.index()["entries"]["app"][0]["description"] == "other"
    assert tenant.push_form("?force=", chart=data).status_code == 201
    assert tenant.versions("app") == ["1.0.0"]


def test_case_94_lists_and_insides(tenant: Tenant) -> None:
    files = {"templates/a.yaml": "kind: A\n", "templates/sub/b.txt": "b", "values.yaml": "a: 1\nb: [x, '2', 1.5, no]\n"}
    for name, version in (("a", "1.0.0"), ("a", "1.1.0"), ("a", "2.0.0-rc.1"), ("b", "0.1.0"), ("c", "0.1.0")):
        assert tenant.push(chart_file(name, version, files=files)).status_code == 201
    http, api = tenant.http, tenant.api
    assert list(http.get(api()).json()) == ["a", "b", "c"]
    assert list(http.get(api("charts?offset=1")).json()) == ["b", "c"]
    assert list(http.get(api("charts?offset=1&limit=1")).json()) == ["b"]
    assert http.get(api("charts?offset=9")).json() == {}
    for query, text in (
        ("offset=-1", "offset is not a valid non-negative integer"),
        ("offset=x", "offset is not a valid non-negative integer"),
        ("limit=0", "limit is not a valid positive integer"),
        ("limit=" + "9" * 5000, "limit is not a valid positive integer"),
    ):
        answer = http.get(api(f"charts?{query}"))
        assert (answer.status_code, error(answer)) == (400, text)
    assert [each["version"] for each in http.get(api("charts/a")).json()] == ["2.0.0-rc.1", "1.1.0", "1.0.0"]
    assert http.get(api("charts/a/latest")).json()["version"] == "1.1.0"
    assert http.get(api("charts/a/^1.0")).json()["version"] == "1.1.0"
    assert http.get(api("charts/a/1.0.0")).json()["version"] == "1.0.0"
    shown = http.get(api("charts/a/1.0.0/templates")).json()
    assert {item["name"]: base64.b64decode(item["data"]).decode() for item in shown["templates"]} == {
        "templates/a.yaml": "kind: A\n",
        "templates/sub/b.txt": "b",
    }
    assert shown["values"] == {"a": 1, "b": ["x", "2", 1.5, "no"]}
    values = http.get(api("charts/a/1.0.0/values"))
    assert (values.text, values.headers["content-type"]) == (files["values.yaml"], "application/yaml")
    bare = archive({"bare/Chart.yaml": b"apiVersion: v2\nname: bare\nversion: 1.0.0\n"})
    assert tenant.push(bare).status_code == 201
    assert error(http.get(api("charts/bare/1.0.0/values"))) == "values.yaml not found"
    for path in ("x", "a/9.9.9", "a/^9", "a/nonsense", "x/latest", "x/1.0.0", "x/1.0.0/templates", "a/1.0.0/other"):
        assert http.get(api(f"charts/{path}")).status_code == 404, path
    assert error(http.get(api("charts/x"))) == "chart not found"
    assert http.head(api("charts/a")).status_code == 200
    assert http.head(api("charts/a/9.9.9")).status_code == 404


def test_case_95_delete(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    assert tenant.push_form(chart=data, prov=provenance("app", "1.0.0", data)).status_code == 201
    assert cnr_push(tenant, "app", "1.0.0", chart_file("app", "1.0.0"), "kpm").status_code == 200
    answer = tenant.delete("app", "1.0.0")
    assert (answer.status_code, answer.json()) == (200, {"deleted": True})
    assert tenant.delete("app", "1.0.0").status_code == 404
    assert tenant.index()["entries"] == {}
    assert tenant.get("charts/app-1.0.0.tgz").status_code == 404
    assert tenant.get("charts/app-1.0.0.tgz.prov").status_code == 404
    assert cnr_show(tenant, "app", "1.0.0").status_code == 404
    assert cnr_show(tenant, "app", "1.0.0", "kpm").status_code == 200
    assert tenant.push(data).status_code == 201
    assert tenant.delete("app", "1.0.0").status_code == 200
    assert tenant.push(chart_file("other", "1.0.0")).status_code == 201
    assert tenant.delete("other", "1.0.0").status_code == 200
    assert tenant.oci("other").tags() == []


def test_case_96_a_form_as_cm_push_sends_it(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    assert tenant.index()["serverInfo"]["contextPath"] == "/helm"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="chart"; filename="/tmp/helm-push-1/app-1.0.0.tgz"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--b--\r\n"
    )
    pieces = (body[at : at + 7] for at in range(0, len(body), 7))
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = tenant.http.post(tenant.api(), content=pieces, headers=headers)
    assert answer.status_code == 201, answer.text
    assert tenant.get("charts/app-1.0.0.tgz").content == data


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_case_97_tenants_of_any_depth(http: httpx.Client, depth: int) -> None:
    name = "/".join(["deep", "two", "three"][:depth])
    tenant, chart = Tenant(http, name), f"app{depth}"
    data = chart_file(chart, "1.0.0")
    assert tenant.push(data).status_code == 201
    assert tenant.versions(chart) == ["1.0.0"]
    assert tenant.get(f"charts/{chart}-1.0.0.tgz").content == data
    assert tenant.oci(chart).tags() == ["1.0.0"]
    assert tenant.http.get(tenant.api(f"charts/{chart}")).status_code == 200
    if depth == 0:
        library = Tenant(http, "library")
        assert library.versions(chart) == ["1.0.0"]
        assert library.get("index.yaml").content == tenant.get("index.yaml").content
        assert library.push(data).status_code == 409
        assert cnr_show(library, chart, "1.0.0").status_code == 200
    assert tenant.delete(chart, "1.0.0").status_code == 200


@pytest.mark.parametrize("name", ["v2", "api", "cnr", "helm", "a/channels", "A", "a..b", "library/x", "x/../y", "-"])
def test_case_97_reserved_and_impossible_tenants(http: httpx.Client, name: str) -> None:
    answer = Tenant(http, name.replace("/", "%2F")).push(chart_file("app", "1.0.0"))
    assert answer.status_code in (400, 404), answer.text
    assert error(answer)


def test_case_98_oci_delete_of_a_release_with_two_formats(tenant: Tenant) -> None:
    assert tenant.push(chart_file("app", "1.0.0")).status_code == 201
    assert cnr_push(tenant, "app", "1.0.0", chart_file("kpm", "1.0.0"), "kpm").status_code == 200
    assert tenant.oci("app").call("DELETE", "manifests/1.0.0").status_code == 202
    assert tenant.index()["entries"] == {}
    assert tenant.http.get(tenant.api("charts/app/1.0.0")).status_code == 404


def test_a_manifest_deleted_by_digest_leaves_the_index(tenant: Tenant) -> None:
    assert tenant.push(chart_file("app", "1.0.0")).status_code == 201
    digest = tenant.oci("app").call("HEAD", "manifests/1.0.0").headers["docker-content-digest"]
    assert tenant.oci("app").call("DELETE", f"manifests/{digest}").status_code == 202
    assert tenant.index()["entries"] == {}
    assert tenant.get("charts/app-1.0.0.tgz").status_code == 404


def test_the_order_of_charts_and_versions(tenant: Tenant) -> None:
    versions = ["2.0.0", "2.0.0-rc.10", "2.0.0-rc.2", "1.10.0", "1.9.0+b", "1.9.0+a", "1.9.0", "0.1.0"]
    for version in random.Random(1).sample(versions, len(versions)):
        assert tenant.push(chart_file("b", version)).status_code == 201
    for name in ("c", "a", "b-a"):
        assert tenant.push(chart_file(name, "1.0.0")).status_code == 201
    assert tenant.versions("b") == versions
    assert list(tenant.index()["entries"]) == ["a", "b", "b-a", "c"]


def test_lenient_versions(tenant: Tenant) -> None:
    for version in ("1.0", "v1.2.0", "1", "1.0.0"):
        assert tenant.push(chart_file("app", version)).status_code == 201, version
    assert tenant.versions("app") == ["v1.2.0", "1.0", "1", "1.0.0"]
    for version in ("1.0", "v1.2.0", "1", "1.0.0"):
        assert tenant.get(f"charts/app-{version}.tgz").content == chart_file("app", version)
    assert tenant.push(chart_file("app", "1.0")).status_code == 409
    assert tenant.http.get(tenant.api("charts/app/1.0")).json()["version"] == "1.0"
    assert tenant.delete("app", "1.0").status_code == 200
    assert tenant.versions("app") == ["v1.2.0", "1", "1.0.0"]


def test_file_names_that_two_charts_could_have(tenant: Tenant) -> None:
    charts = {("a", "1.0.0-2.0.0"), ("a-1.0.0", "2.0.0"), ("a-1", "2.0.0"), ("a", "1-2.0.0")}
    for name, version in charts:
        assert tenant.push(chart_file(name, version)).status_code == 201, (name, version)
    entries = [entry for versions in tenant.index()["entries"].values() for entry in versions]
    assert {(entry["name"], entry["version"]) for entry in entries} == charts
    for entry in entries:
        data = tenant.get(entry["urls"][0]).content
        assert sha256(data) == entry["digest"]
    assert len({entry["urls"][0] for entry in entries}) == 4


def test_archives_have_ranges_and_tags(tenant: Tenant) -> None:
    data = chart_file("app", "1.0.0")
    assert tenant.push(data).status_code == 201
    answer = tenant.get("charts/app-1.0.0.tgz")
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = tenant.get("charts/app-1.0.0.tgz", headers={"range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, data[2:6])
    assert tenant.get("charts/app-1.0.0.tgz", headers={"range": "bytes=99999-"}).status_code == 416
    assert tenant.get("charts/app-1.0.0.tgz", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    head = tenant.http.head(tenant.path("charts/app-1.0.0.tgz"))
    assert head.headers["content-length"] == str(len(data))


@pytest.mark.parametrize(
    "path",
    [
        *("charts/app-1.0.0", "charts/app", "charts/..-1.0.0.tgz", "charts/.prov", "charts/app-1.0.0.tgz.prov.prov"),
        *("charts/%2e%2e%2findex-cache.yaml", "charts/app-1.0.0%00.tgz", "charts/-1.0.0.tgz", "charts/APP-1.0.0.tgz"),
        *("charts/app-1.0.0%5C..tgz", "charts/app-" + "1" * 500 + ".tgz", "charts/" + "a-1." * 500 + ".tgz"),
        *("nothing", "charts", "charts/", "x/y/z", "charts/app/other-1.0.0.tgz", "index.yaml/x"),
    ],
)
def test_addresses_with_nothing(tenant: Tenant, path: str) -> None:
    answer = tenant.get(path)
    assert answer.status_code == 404
    assert error(answer) in ("object not found", "not found", "chart not found")


def test_the_site(http: httpx.Client) -> None:
    assert http.get("/helm/health").json() == {"healthy": True}
    assert "version" in http.get("/helm/info").json()
    assert http.get("/helm").headers["content-type"].startswith("text/html")
    assert error(http.get("/helm/api")) == "not found"
    assert http.request("PATCH", "/helm/api/x/charts").status_code == 405


def test_cors_is_on_the_api_only(tenant: Tenant) -> None:
    assert tenant.http.get(tenant.api()).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in tenant.get("index.yaml").headers
    assert "access-control-allow-credentials" not in tenant.http.get(tenant.api()).headers


def test_the_root_of_a_host(http: httpx.Client) -> None:
    headers = {"host": "Charts.Test:5000"}
    data = chart_file("rooted", "1.0.0")
    answer = http.post("/api/root/charts", content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    index = http.get("/root/index.yaml", headers={**headers, "accept-encoding": "identity"})
    assert index.json()["entries"]["rooted"][0]["version"] == "1.0.0"
    assert "serverInfo" not in index.json()
    assert index.headers["etag"] == f'"{sha256(index.content)}"'
    assert http.get("/root/charts/rooted-1.0.0.tgz", headers=headers).content == data
    assert Tenant(http, "root").versions("rooted") == ["1.0.0"]
    assert http.get("/root/index.yaml").status_code == 404
    assert http.get("/v2/", headers=headers).status_code == 200
    assert http.get("/api/v1/packages", headers=headers).status_code == 200
    assert http.post("/api/v1/charts", content=data, headers=headers).status_code in (404, 405)
    for tenant in ("v2", "api", "cnr"):
        assert http.post(f"/api/{tenant}/charts", content=data, headers=headers).status_code in (400, 404), tenant


def test_a_gzip_bomb_and_a_long_body(tenant: Tenant) -> None:
    bomb = archive({"app/Chart.yaml": b"name: app\n", "app/x": b"\0" * (150 * 1024 * 1024)})
    assert tenant.push(bomb).status_code == 413
    assert tenant.push(b"\0" * (4 * 1024 * 1024 + 1)).status_code == 413
    assert tenant.push_form(chart=b"\0" * (6 * 1024 * 1024)).status_code == 413
    assert tenant.http.post(tenant.api("prov"), content=b"x" * (1024 * 1024 + 1)).status_code == 413
    assert tenant.index()["entries"] == {}


def test_the_gzip_is_the_document(tenant: Tenant) -> None:
    assert tenant.push(chart_file("app", "1.0.0")).status_code == 201
    with tenant.http.stream("GET", tenant.path("index.yaml"), headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert gzip.decompress(raw) == tenant.get("index.yaml", headers={"accept-encoding": "identity"}).content


def test_the_zstd_is_the_document(tenant: Tenant) -> None:
    assert tenant.push(chart_file("app", "1.0.0")).status_code == 201
    plain = tenant.get("index.yaml", headers={"accept-encoding": "identity"})
    with tenant.http.stream("GET", tenant.path("index.yaml"), headers={"accept-encoding": "gzip, zstd"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert (answer.headers["content-encoding"], int(answer.headers["content-length"])) == ("zstd", len(raw))
    assert answer.headers["etag"] not in (plain.headers["etag"], plain.headers["etag"].replace('"', "") + "-gzip")
    assert zstd.decompress(raw) == plain.content
    again = tenant.get("index.yaml", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
