"""Cases 1 to 3 and 72 to 75: discovery, login, and requests that no route takes; case 83: how appr asks."""

import base64
from html.parser import HTMLParser

import pytest
from tests.protocols.cnr.client import Cnr, done, error_of, refused
from tests.protocols.cnr.packages import b64, chart


class Metas(HTMLParser):
    """Collects `<meta name=… content=…>`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and values.get("name"):
            self.found[str(values["name"])] = values.get("content") or ""


def discovered(cnr: Cnr, headers: dict[str, str] | None = None) -> dict[str, str]:
    answer = cnr.site("/?appr-discovery=1", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    return Metas(answer.text).found


def test_case_01_version(cnr: Cnr) -> None:
    found = done(cnr.site("/version"))
    assert sorted(found) == ["appr-api", "cnr-api"]
    assert found["cnr-api"] == found["appr-api"]
    assert done(cnr.site("/version/")) == found


def test_case_02_the_discovery_page(cnr: Cnr) -> None:
    host = cnr.http.base_url.netloc.decode()
    metas = discovered(cnr)
    assert metas["appr-package"] == metas["cnr-package"]
    name, template = metas["appr-package"].split(" ")
    assert name == f"{host}/{{name}}"
    assert template == f"http://{host}/cnr/api/v1/packages/{{name}}/{{version}}/{{media_type}}/pull"
    assert "//" not in template.removeprefix("http://")


@pytest.mark.parametrize("host", ['evil"><script>', "a b", "h/x", "{name}", "x\u00e9"])
def test_case_02_a_hostile_host_header_stays_in_its_attribute(cnr: Cnr, host: str) -> None:
    page = cnr.raw("GET", "/", {"Host": host}).content
    assert b"<script>" not in page
    assert b'"><' not in page.replace(b'">\n<', b"")


def test_case_03_discovery_leads_to_a_package(cnr: Cnr, package: str) -> None:
    blob = chart("found")
    done(cnr.push(package, "1.0.0", blob=blob))
    name, template = discovered(cnr)["appr-package"].split(" ")
    values = {"name": package, "version": "1.0.0", "media_type": "helm", "mediatype": "helm"}
    for key, value in values.items():
        name, template = name.replace(f"{{{key}}}", value), template.replace(f"{{{key}}}", value)
    assert name.endswith(f"/{package}")
    answer = cnr.http.get(template)
    assert answer.content == blob
    assert done(cnr.http.get(template, params={"format": "json"}))["blob"] == b64(blob)


def test_routes(cnr: Cnr) -> None:
    """Source: contracts/cnr.md 2.2."""
    rows = done(cnr.site("/routes"))["routes"]
    assert rows == sorted(rows)
    assert any(row.split()[1:] == ["POST", "/api/v1/packages/[namespace]/[name]"] for row in rows)
    assert done(cnr.site("/routes/"))["routes"] == rows
    refused(cnr.site("/test_error"), 400, "invalid-usage", path=f"{cnr.prefix}/test_error")


def test_case_72_methods_that_a_path_does_not_have(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    wanted = {
        ("POST", f"/{package}/channels"): "GET, HEAD, OPTIONS",
        ("POST", f"/{package}/channels/stable"): "DELETE, GET, HEAD, OPTIONS",
        ("GET", f"/{package}/channels/stable/1.0.0"): "DELETE, OPTIONS, POST",
        ("PUT", f"/{package}"): "GET, HEAD, OPTIONS, POST",
        ("DELETE", f"/{package}"): "GET, HEAD, OPTIONS, POST",
        ("POST", ""): "GET, HEAD, OPTIONS",
        ("PATCH", f"/{package}/1.0.0/helm"): "DELETE, GET, HEAD, OPTIONS",
        ("DELETE", "/search"): "GET, HEAD, OPTIONS",
    }
    for (method, path), allow in wanted.items():
        for end in ("", "/"):
            answer = cnr.site(f"/api/v1/packages{path}{end}", method)
            refused(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == allow, (method, path)


@pytest.mark.parametrize(
    "path",
    [
        *("/nope", "/api", "/api/v1", "/api/v2/packages", "/api/v1/packages/a/b/c/d/e/f", "/api/v1/users"),
        *("/.well-known/app-registry-uri.json", "//", "/api//v1/packages", "/api/v1/packages//", "/cnr/cnr/version"),
    ],
)
def test_case_73_addresses_without_a_route(cnr: Cnr, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
        refused(cnr.raw(method, path), 404, "resource-not-found")


def test_case_73_calls_that_no_server_ever_had(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    refused(cnr.site("/api/v1/users", "POST", json={}), 404, "resource-not-found")
    refused(cnr.get(f"/{package}/generate"), 404, "package-not-found")


def test_case_74_every_error_is_an_object(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    answers = [
        cnr.push(package),
        cnr.push(package, "1.0"),
        cnr.push(package, "1.1.0", blob=b"junk"),
        cnr.push(package, 1),
        cnr.push("UP/case"),
        cnr.get("/no/pkg/1.0.0/helm"),
        cnr.show(package, "%3E9"),
        cnr.show(package, "abc"),
        cnr.get(f"/{package}/channels/no"),
        cnr.get(params={"limit": "0"}),
        cnr.site("/nope"),
        cnr.site("/version", "DELETE"),
        cnr.site("/api/v1/users/login", "POST"),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        error_of(answer)
        assert answer.headers["content-length"] == str(len(answer.content))


def login(cnr: Cnr, user: object) -> str:
    answer = cnr.site("/api/v1/users/login", "POST", json={"user": user})
    assert list(done(answer)) == ["token"]
    return str(answer.json()["token"])


def test_case_75_login_while_authentication_is_off(cnr: Cnr, package: str) -> None:
    token = login(cnr, {"username": "u", "password": "p:é"})
    assert token == "basic " + base64.b64encode("u:p:é".encode()).decode()
    body = {"blob": b64(chart()), "release": "1.0.0", "force": True}
    for word in (token, token.replace("basic", "Basic"), "basic nonsense", "Bearer x", ""):
        done(cnr.post(f"/{package}", json=body, headers={"Authorization": word}))
        done(cnr.get(headers={"Authorization": word}))


def test_case_75_the_token_is_where_scripts_cut_it_out(cnr: Cnr) -> None:
    answer = cnr.site("/api/v1/users/login", "POST", json={"user": {"username": "u", "password": "p"}})
    assert answer.text.split('"')[3] == "basic dTpw"
    assert answer.text.split(":", 1)[1].strip(' "}\n') == "basic dTpw"


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"user": {}}, {"user": {"username": "u"}}, {"user": {"password": "p"}}, {"user": "u"}, {"user": None}),
        *({"user": {"username": "", "password": "p"}}, {"user": {"username": "u", "password": ""}}),
        *({"user": {"username": 1, "password": "p"}}, {"user": []}, {"username": "u", "password": "p"}),
    ],
)
def test_case_75_logins_with_missing_fields(cnr: Cnr, body: object) -> None:
    refused(cnr.site("/api/v1/users/login", "POST", json=body), 400, "invalid-usage")


APPR = {"Content-Type": "application/json", "User-Agent": "apprpy-cli/0.7.4", "Authorization": "basic dTpw"}


def test_case_83_how_the_appr_client_asks(cnr: Cnr, package: str) -> None:
    body = {
        "blob": b64(chart("appr")),
        "release": "1.0.0",
        "media_type": "helm",
        "metadata": None,
        "name": package.partition("/")[2],
        "organization": package.partition("/")[0],
        "package": package,
        "manifest_name": "x",
    }
    assert done(cnr.post(f"/{package}?force=false", json=body, headers=APPR)) == {"status": "ok"}
    for path in (
        "",
        f"/{package}",
        f"/{package}/1.0.0",
        f"/{package}/1.0.0/helm",
        f"/{package}/channels/",
        "/search?q=x",
    ):
        done(cnr.get(path, headers=APPR))
    assert done(cnr.get(f"/{package}/default/-/pull?format=json", headers=APPR))["blob"] == body["blob"]
    done(cnr.post(f"/{package}/channels/stable/1.0.0", headers=APPR))
    gone = done(cnr.delete(f"/{package}/1.0.0/-", headers=APPR))
    assert (gone["package"], gone["release"]) == (package, "1.0.0")
