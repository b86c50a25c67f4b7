"""Row "path traversal", where the classic repository and the ChartMuseum API are reached."""

import httpx
import pytest
from tests.protocols.cnr.client import exchange
from tests.protocols.cnr.server import Server
from tests.protocols.cnr.test_hostile import TRAVERSALS, files
from tests.protocols.helm.client import Tenant, archive, chart_file, helm_push, provenance

pytestmark = pytest.mark.usefixtures("steady")


def asked(tenant: Tenant, method: str, target: str, body: bytes = b"") -> int:
    answer = exchange(tenant.http.base_url, method, target, {}, body)
    kind = answer.headers.get("content-type", "")
    if kind == "application/x-yaml":  # the index of a tenant that has nothing
        assert b'"entries":{}' in answer.content
        return 404
    assert kind.startswith("application/json") or answer.status_code == 400, answer.content
    if kind.startswith("application/json") and answer.status_code != 200 and target.startswith("/helm"):
        assert list(answer.json()) == ["error"]
    return answer.status_code


@pytest.mark.parametrize("text", TRAVERSALS, ids=lambda text: text[:12])
def test_addresses_that_would_leave_the_store(tenant: Tenant, server: Server, text: str) -> None:
    data = chart_file("app", "1.0.0")
    assert tenant.push(data).status_code == 201
    before, seen = files(server), tenant.index()["entries"]
    base, api = f"/helm/{tenant.name}", f"/helm/api/{tenant.name}"
    reads = (
        *(f"{base}/charts/{text}", f"{base}/charts/{text}.tgz", f"{base}/charts/app-{text}.tgz", f"{base}/{text}"),
        *(f"{base}/charts/{text}-1.0.0.tgz.prov", f"{base}/charts/{text}/app-1.0.0.tgz", f"{base}/channels/{text}/x"),
        *(f"{base}/charts/../{text}", f"{base}/{text}/index.yaml", f"{api}/charts/{text}", f"{api}/charts/app/{text}"),
        *(f"{api}/charts/{text}/1.0.0", f"{api}/charts/app/1.0.0/{text}", f"{api}/charts/{text}/1.0.0/values"),
    )
    for target in reads:
        # "*" is a range of versions here, and whatever else is found is what was pushed.
        assert asked(tenant, "GET", target) in ((200, 400, 404) if text in ("*", "%2E.") else (400, 404)), target
    for target in (f"{api}/charts/{text}/1.0.0", f"{api}/charts/app/{text}"):
        assert asked(tenant, "DELETE", target) in (400, 404, 405), target
    for target in (f"/helm/api/{text}/charts", f"{api}/{text}", f"/helm/api/{text}/prov", f"{api}/../{text}/charts"):
        if text != "a%2fb":  # a tenant like any other
            assert asked(tenant, "POST", target, data) in (400, 404, 405), target
    assert tenant.index()["entries"] == seen
    assert files(server) == before


NAMES = (
    *("..", ".", "../../escaped", "a/../b", "a/b", "/etc/passwd", "a\\b", "..\\..\\x", "%2e%2e", "a\0b", "", " "),
    *("CON.", "A", "x" * 300, "\u2024\u2024", "\uff0e\uff0e", "a\nb", "\x1b[31m", "app/", "~", "$HOME", "-a", "a..b"),
)


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_in_a_chart_that_would_leave_the_store(tenant: Tenant, server: Server, name: str) -> None:
    """CVE-2019-1000009: the name is in Chart.yaml, not in the address. Nothing of it is stored."""
    before = files(server)
    about = f"apiVersion: v2\nname: {name!r}\nversion: 1.0.0\n".encode()
    for top in ("app", name.strip("/")[:50] or "x", ".."):
        data = archive({f"{top}/Chart.yaml": about})
        for answer in (tenant.push(data), tenant.push(data, "?force"), tenant.push_form(chart=data)):
            assert answer.status_code == 400, answer.text
            assert list(answer.json()) == ["error"]
    prov = provenance(name, "1.0.0", b"")
    assert tenant.http.post(tenant.api("prov"), content=prov).status_code == 400
    assert tenant.index()["entries"] == {}
    assert files(server) == before


VERSIONS = (
    *("1.0.0/../../x", "..", "1.0.0\\..\\x", "1.0.0%2f..", "1.0.0\0", "", "1.0.0+../../x", "1.0.0 ", "v"),
    *("1.0.0-\x1b[31m", "1.0.0\nX: y", "1.0.0+" + "x" * 130, "latest", "1.0.0.0", "\u0665.0.0", "1.0.0-\xe9", "-1.0.0"),
)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda text: repr(text)[:14])
def test_versions_in_a_chart_that_would_leave_the_store(tenant: Tenant, server: Server, version: str) -> None:
    before = files(server)
    answer = tenant.push(chart_file("app", version))
    assert answer.status_code == 400, answer.text
    assert "\x1b" not in answer.text
    assert tenant.index()["entries"] == {}
    assert files(server) == before


@pytest.mark.parametrize("name", ["..", "../x", "other", "APP", "a\x1b[31m"])
def test_a_pushed_chart_of_another_name_is_in_no_index(tenant: Tenant, name: str) -> None:
    """By `helm push` the address decides, and a chart that says something else is stored and not listed."""
    answer = helm_push(tenant.oci("app"), chart_file(name, "1.0.0"), "1.0.0", config={"name": name, "version": "1.0.0"})
    assert answer.status_code == 201
    assert tenant.index()["entries"] == {}
    assert tenant.http.get(tenant.api()).json() == {}
    assert tenant.get("charts/app-1.0.0.tgz").status_code == 404


def test_the_file_name_of_a_form_is_not_looked_at(tenant: Tenant, http: httpx.Client, server: Server) -> None:
    before = files(server)
    for number, name in enumerate(("../../escaped.tgz", "/etc/cron.d/x", "a\\..\\b", "x" * 900, "\x1b[31m")):
        data = chart_file("app", f"1.0.{number}")
        answer = http.post(tenant.api(), files={"chart": (name, data)})
        assert answer.status_code == 201, answer.text
        assert tenant.get(f"charts/app-1.0.{number}.tgz").content == data
    assert files(server) == before
