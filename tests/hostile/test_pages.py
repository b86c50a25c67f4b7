"""Row "XSS, HTML injection": what a browser is given, and what it is told to make of it."""

from typing import Any

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.packages import gz, tar
from tests.protocols.helm.client import Tenant, chart_file
from tests.protocols.oci.client import Oci, digest

SCRIPT = "<script>alert(1)</script>"
PAGES = ("/", "/cnr", "/docs", "/cnr/docs", "/helm", "/helm/")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_nothing(http: httpx.Client, path: str) -> None:
    answer = http.get(f"{path}?q={SCRIPT}", headers={"Host": "localhost", "X-Forwarded-Prefix": f"/{SCRIPT}"})
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert SCRIPT not in answer.text
    assert "<script" not in answer.text


TEXTS = (
    *(
        SCRIPT,
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "data:text/html;base64,PHNjcmlwdD4=",
        "</style>",
    ),
    *("<svg onload=alert(1)>", "[a](javascript:alert(1))", "![](http://127.0.0.1:1/seen)", "{{7*7}}", "' onclick='x"),
)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:14])
def test_texts_of_a_package_come_back_as_data(http: httpx.Client, text: str) -> None:
    """README, description, home, maintainers: in JSON and files only, and of a type that no browser shows as a page."""
    cnr, tenant, oci = Cnr(http, "/cnr"), Tenant.fresh(http), Oci.fresh(http, namespace="pages")
    about: dict[str, Any] = {
        "description": text,
        "home": text,
        "icon": text,
        "sources": [text],
        "maintainers": [{"name": "a", "url": text}],
    }
    data = chart_file(
        "app", "1.0.0", files={"README.md": text, "values.yaml": f"a: {text!r}\n", "templates/a": text}, **about
    )
    assert tenant.push(data).status_code == 201
    done(cnr.push(f"{tenant.name}/pushed", blob=data, metadata={"readme": text}))
    plain = oci.blob(text.encode())
    manifest = oci.image("v1", annotations={"org.opencontainers.image.description": text})
    paths = (
        *(
            f"/helm/{tenant.name}/index.yaml",
            f"/helm/{tenant.name}/index.json",
            f"/helm/{tenant.name}/charts/app-1.0.0.tgz",
        ),
        *(f"/helm/api/{tenant.name}/charts", f"/helm/api/{tenant.name}/charts/app/1.0.0/templates"),
        *(f"/helm/api/{tenant.name}/charts/app/1.0.0/values", f"/cnr/api/v1/packages/{tenant.name}/pushed"),
        *(f"/cnr/api/v1/packages/{tenant.name}/pushed/1.0.0/helm/pull", f"/v2/{oci.name}/blobs/{plain}"),
        *(f"/v2/{oci.name}/manifests/v1", f"/v2/{oci.name}/manifests/{digest(manifest)}"),
        *("/api/v1/search?q=alert", "/cnr/api/v1/packages/search?q=app", f"/v2/{oci.name}/referrers/{plain}"),
    )
    for path in paths:
        answer = http.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 200, path
        kind = answer.headers["content-type"]
        assert not any(word in kind for word in ("html", "svg", "xml", "javascript")), f"{path}: {kind}"
        assert answer.headers.get("x-content-type-options") == "nosniff", path


@pytest.mark.parametrize("name", ["index.html", "README.md", "x.svg"])
def test_no_file_of_a_package_is_served_by_itself(http: httpx.Client, name: str) -> None:
    cnr = Cnr(http, "")
    package = cnr.fresh()
    done(cnr.push(package, media_type="kpm", blob=gz(tar({name: SCRIPT.encode(), "manifest.yaml": b"a: 1\n"}))))
    for path in (f"/{package}/1.0.0/kpm/{name}", f"/{package}/1.0.0/kpm/pull/{name}", f"/{package}/{name}"):
        answer = cnr.get(path)
        assert answer.status_code in (404, 422)
        assert SCRIPT not in answer.text


@pytest.mark.parametrize(
    "path", [f"/{SCRIPT}", f"/v2/{SCRIPT}/x", f"/helm/{SCRIPT}/index.yaml", f"/api/v1/packages/{SCRIPT}/x"]
)
def test_an_error_is_no_page(http: httpx.Client, path: str) -> None:
    target = http.base_url.copy_with(raw_path=path.encode())
    answer = http.send(httpx.Request("GET", target, headers={"accept": "text/html"}))
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"].startswith("application/json")
