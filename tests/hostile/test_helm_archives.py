"""Rows "tar extraction, symlinks" and "YAML/JSON parser abuse", by both ways in which a chart reaches an index."""

import json

import pytest
import yaml
from tests.protocols.cnr.packages import gz, tar
from tests.protocols.cnr.server import Server
from tests.protocols.cnr.test_hostile_archives import ARCHIVES, DOCUMENTS, archive, member
from tests.protocols.helm.client import Tenant, chart_file, helm_push

pytestmark = pytest.mark.usefixtures("steady")


def whole_index(tenant: Tenant) -> dict[str, list[dict[str, object]]]:
    """The entries, read as strict YAML, which are the same as JSON; every one of them is served."""
    text = tenant.get("index.yaml").text
    entries: dict[str, list[dict[str, object]]] = yaml.safe_load(text)["entries"]
    assert entries == json.loads(text)["entries"]
    for name, versions in entries.items():
        for entry in versions:
            assert entry["name"] == name
            for url in entry["urls"]:  # type: ignore[attr-defined]
                assert url.startswith("charts/")
                assert tenant.get(url).status_code == 200
    return entries


def by_upload(tenant: Tenant, data: bytes) -> int:
    answer = tenant.push(data)
    assert answer.status_code in (201, 400, 413), answer.text
    if answer.status_code != 201:
        assert list(answer.json()) == ["error"]
    return answer.status_code


def by_helm(tenant: Tenant, data: bytes) -> int:
    """With a config that is of no use, so that the index has to read the archive itself."""
    answer = helm_push(tenant.oci("app"), data, "1.0.0", config={"name": "other"})
    assert answer.status_code == 201, answer.text
    assert tenant.oci("app").tags() == ["1.0.0"]
    return answer.status_code


@pytest.mark.parametrize("way", [by_upload, by_helm])
@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES.keys())
def test_archives_are_read_and_never_unpacked(tenant: Tenant, server: Server, data: bytes, way: object) -> None:
    status = way(tenant, gz(data))  # type: ignore[operator]
    entries = whole_index(tenant)
    assert set(entries) <= {"app"}
    if way is by_upload:
        assert bool(entries) == (status == 201)
    assert not list(server.folder.rglob("*escaped*"))
    assert not list(server.folder.rglob("*Chart*"))
    for path in ("charts/app/1.0.0", "charts/app/1.0.0/templates", "charts/app/1.0.0/values"):
        assert tenant.http.get(tenant.api(path)).status_code in (200, 404)


@pytest.mark.parametrize("way", [by_upload, by_helm])
@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_chart_yaml_is_data(tenant: Tenant, server: Server, text: str, way: object) -> None:
    """CVE-2025-55198 among them: no entry is empty, and no null is in a list."""
    way(tenant, gz(tar({"app/Chart.yaml": text.encode("utf-8", "surrogateescape")})))  # type: ignore[operator]
    entries = whole_index(tenant)
    assert "null" not in json.dumps(entries)
    assert "\x1b" not in tenant.get("index.yaml").text
    assert not list(server.folder.rglob("*escaped*"))


TWICE = {
    "equal": archive(member("app/Chart.yaml")),
    "in other letters": archive(member("app/CHART.yaml"), member("app/chart.yaml")),
    "behind a dot": archive(member("./app/Chart.yaml")),
    "by a PAX name": archive(member("app/x", path="app/Chart.yaml")),
    "in another root": archive(member("other/Chart.yaml")),
    "as a link": archive(member("app/Chart.lock", b"2", "/etc/passwd")),
}


@pytest.mark.parametrize("data", TWICE.values(), ids=TWICE.keys())
def test_one_chart_yaml_is_believed(tenant: Tenant, data: bytes) -> None:
    """What helm would read is what is listed: never one chart for the index and another one for whoever installs."""
    status = by_upload(tenant, gz(data))
    entries = whole_index(tenant)
    assert status in (201, 400)
    assert [entry["version"] for entry in entries.get("app", [])] == (["1.0.0"] if status == 201 else [])


@pytest.mark.parametrize(
    "file",
    [
        *("values.yaml", "values.schema.json", "templates/a.yaml", "README.md", "Chart.lock", "requirements.yaml"),
        "crds/x",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        '{"$ref": "/dev/zero"}',
        '{"$ref": "http://169.254.169.254/"}',
        '{"a": {"$ref": "#/a"}}',
        "a: &a [*a]",
        "[" * 50_000,
        "!!python/object/apply:os.system ['id']",
        "{{ define }}" * 10_000,
        "\x1b[31m\x00",
        "<script>alert(1)</script>",
    ],
    ids=lambda text: text[:14],
)
def test_what_is_in_a_chart_is_not_interpreted(tenant: Tenant, file: str, text: str) -> None:
    """CVE-2025-55199, CVE-2025-32387: schemas, values and templates are bytes, at most shown as text."""
    data = chart_file("app", "1.0.0", files={file: text})
    status = by_upload(tenant, data)
    assert status == 201 or file == "requirements.yaml"
    if status == 201:
        assert tenant.get("charts/app-1.0.0.tgz").content == data
        for part in ("templates", "values"):
            answer = tenant.http.get(tenant.api(f"charts/app/1.0.0/{part}"))
            # 400: values that are no YAML are shown by /values alone, as they are.
            assert answer.status_code in (200, 404) or (file, part) == ("values.yaml", "templates")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "html" not in answer.headers["content-type"]
    whole_index(tenant)


def test_escape_codes_in_a_version_are_in_no_index(tenant: Tenant) -> None:
    """GHSA-c38g-469g-cmgx."""
    assert tenant.push(chart_file("app", "1.0.0+\x1b[31m")).status_code == 400
    assert helm_push(tenant.oci("app"), chart_file("app", "1.0.0\x1b"), "1.0.0").status_code == 201
    assert whole_index(tenant) == {}


def test_an_index_has_no_version_twice(tenant: Tenant) -> None:
    """GHSA-jm56-5h66-w453: the same version by three protocols and in three spellings."""
    assert tenant.push(chart_file("app", "1.0.0")).status_code == 201
    assert tenant.push(chart_file("app", "1.0.0", description="other")).status_code == 409
    assert helm_push(tenant.oci("app"), chart_file("app", "1.0.0", home="x"), "1.0.0").status_code == 403
    assert helm_push(tenant.oci("app"), chart_file("app", "1.0.0+a"), "1.0.0+a").status_code == 201
    assert tenant.push(chart_file("app", "1.0.0+a", home="x")).status_code == 409
    assert tenant.push(chart_file("app", "v1.0.0")).status_code == 201
    versions = [entry["version"] for entry in whole_index(tenant)["app"]]
    assert len(versions) == len(set(versions)) == 3
