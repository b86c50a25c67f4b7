"""To which hosts credentials go, where a registry names others: the hosts are real to the client, by a proxy.

Certificates are not verified here (-k), so that what keeps a password back is never the certificate.
Source: design/hostile-inputs.md, "SSRF, credential leak".
"""

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.internet import Answer, Handler, Internet, internet, made_certificate

Run = Callable[..., Any]
HOST = "registry.example.com"
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()
TAGS, PACKAGES = "/v2/r/r/tags/list", "/cnr/api/v1/packages"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def net(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    with internet(certificate) as found:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, found.address)
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield found


@pytest.fixture
def login(cnr: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(host: str, *words: str) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        return cnr("login", host, "-u", "me", "--password-stdin", *words)

    return run


def says(value: object) -> Answer:
    return lambda handler: handler.answer(200, json.dumps(value).encode(), Content_Type="application/json")


def moved(location: str) -> Answer:
    return lambda handler: handler.answer(307, Location=location)


def wants(challenge: str, otherwise: Answer) -> Answer:
    def answer(handler: Handler) -> None:
        if handler.headers.get("Authorization") in ("Bearer t0ken", BASIC):
            otherwise(handler)
        else:
            handler.answer(401, WWW_Authenticate=challenge)

    return answer


def registry(net: Internet, realm: str, base: str = f"https://{HOST}") -> None:
    """A registry whose tokens are to be had at `realm`; the token server is there for everybody."""
    challenge = f'Bearer realm="{realm}",service="s"'
    net.pages |= {
        f"{base}/v2/": wants(challenge, says({})),
        f"{base}{TAGS}": wants(challenge, says({"name": "r/r", "tags": ["v1"]})),
        realm: says({"token": "t0ken"}),
    }


def kept(person: Path, url: str = f"https://{HOST}") -> None:
    file = person / ".config/cnr/credentials.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": 1, "registries": {url: {"username": "me", "secret": "secret"}}}))
    file.chmod(0o600)


@pytest.mark.parametrize(
    "realm", [f"https://{HOST}/token", "https://auth.example.com/token", f"https://{HOST}:8443/token"]
)
def test_a_token_server_of_the_same_domain_gets_the_password(cnr: Run, login: Run, net: Internet, realm: str) -> None:
    registry(net, realm)
    assert login(HOST, "-k").code == 0
    assert cnr("tag", "ls", f"{HOST}/r/r", "-k").out == "v1\n"
    assert {entry for entry in net.shown() if entry[1] == BASIC} == {(realm, BASIC)}


@pytest.mark.parametrize(
    "realm",
    [
        "https://auth.example.net/token",
        "https://registry.example.com.evil.net/token",
        "https://evilexample.com/token",
        "https://com/token",
        "https://203.0.113.5/token",
    ],
)
def test_one_of_another_domain_is_asked_without_it(
    cnr: Run, login: Run, net: Internet, person: Path, realm: str
) -> None:
    registry(net, realm)
    refused = login(HOST, "-k")
    assert refused.code == 1
    assert "of another domain" in refused.err
    assert not (person / ".config").exists()
    kept(person)
    assert cnr("tag", "ls", f"{HOST}/r/r", "-k").out == "v1\n"
    assert realm in net.urls()
    assert {header for _, header in net.shown()} == {"Bearer t0ken"}
    assert not any("secret" in url for url in net.urls())


@pytest.mark.parametrize(
    "realm",
    [
        f"http://{HOST}/token",
        "http://auth.example.com/token",
        *("http://127.0.0.1/token", "https://127.0.0.1/token", "https://localhost/token", "http://[::1]/token"),
        *("http://169.254.169.254/latest/meta-data", "https://169.254.169.254/token", "https://[::ffff:127.0.0.1]/t"),
        *("https://0.0.0.0/token", "file:///etc/passwd", "gopher://evil.net/"),
    ],
)
def test_what_is_never_asked_for_a_token(cnr: Run, login: Run, net: Internet, person: Path, realm: str) -> None:
    registry(net, realm)
    assert login(HOST, "-k").code == 1
    kept(person)
    assert cnr("tag", "ls", f"{HOST}/r/r", "-k").code == 1
    assert realm not in net.urls()
    assert net.shown() == set()


def test_plain_http_needs_a_word(cnr: Run, login: Run, net: Internet) -> None:
    base = f"http://{HOST}"
    registry(net, f"{base}/token", base)
    assert login(base).code == 1
    assert net.shown() == set()
    assert login(base, "-k").code == 0
    assert cnr("tag", "ls", f"{base}/r/r", "-k").code == 0
    assert {entry for entry in net.shown() if entry[1] == BASIC} == {(f"{base}/token", BASIC)}
    registry(net, "http://auth.example.com/token", base)
    net.asked.clear()
    assert login(base, "-k").code == 1
    assert net.shown() == set()


def test_a_login_by_https_is_not_sent_by_http(cnr: Run, net: Internet, person: Path) -> None:
    net.pages |= {f"http://{HOST}{PACKAGES}": says([]), f"https://{HOST}{PACKAGES}": says([])}
    kept(person)
    assert cnr("list", f"http://{HOST}").code == 0
    assert net.shown() == set()
    assert cnr("list", HOST, "-k").code == 0
    assert net.shown() == {(f"https://{HOST}{PACKAGES}", BASIC)}


@pytest.mark.parametrize(
    "there", ["https://other.example.com", f"https://{HOST}:8443", f"http://{HOST}", "http://evil.net"]
)
def test_a_redirect_of_the_cnr_api_takes_nothing_along(cnr: Run, net: Internet, person: Path, there: str) -> None:
    net.pages |= {f"https://{HOST}{PACKAGES}": moved(there + PACKAGES), there + PACKAGES: says([])}
    kept(person)
    assert cnr("list", HOST, "-k").code == 0
    assert there + PACKAGES in net.urls()
    assert net.shown() == {(f"https://{HOST}{PACKAGES}", BASIC)}


@pytest.mark.parametrize("there", ["https://other.example.com", f"https://{HOST}:8443"])
def test_nor_one_of_oci(cnr: Run, net: Internet, person: Path, there: str) -> None:
    challenge = 'Basic realm="x"'
    net.pages |= {f"https://{HOST}{TAGS}": wants(challenge, moved(there + TAGS))}
    net.pages[there + TAGS] = says({"name": "r/r", "tags": ["v1"]})
    kept(person)
    assert cnr("tag", "ls", f"{HOST}/r/r", "-k").code == 0
    assert net.shown() == {(f"https://{HOST}{TAGS}", BASIC)}


@pytest.mark.parametrize("there", ["http://127.0.0.1", "http://localhost", "http://169.254.169.254", "https://[::1]"])
def test_no_redirect_leads_to_this_machine(cnr: Run, net: Internet, there: str) -> None:
    net.pages |= {f"https://{HOST}{path}": moved(there + path) for path in (TAGS, PACKAGES)}
    for words in (("list", HOST), ("tag", "ls", f"{HOST}/r/r")):
        refused = cnr(*words, "-k")
        assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert net.urls() == [f"https://{HOST}{PACKAGES}", f"https://{HOST}{TAGS}"]


def test_an_identity_token_does_not_go_far_either(cnr: Run, net: Internet, person: Path) -> None:
    (person / ".docker").mkdir()
    (person / ".docker/config.json").write_text(json.dumps({"auths": {HOST: {"identitytoken": "refresh-me"}}}))
    bodies: list[bytes] = []

    def token(handler: Handler) -> None:
        bodies.append(handler.body)
        says({"token": "t0ken"})(handler)

    for realm, has in (("https://auth.example.com/token", True), ("https://auth.evil.net/token", False)):
        registry(net, realm)
        net.pages[realm] = token
        assert cnr("tag", "ls", f"{HOST}/r/r", "-k").code == 0
        assert (b"refresh-me" in bodies[-1]) is has


def test_docker_hub_by_all_of_its_names(cnr: Run, login: Run, net: Internet, person: Path) -> None:
    registry(net, "https://auth.docker.io/token", "https://registry-1.docker.io")
    for name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        net.asked.clear()
        assert login(name, "-k").code == 0
        assert ("https://auth.docker.io/token", BASIC) in net.shown()
    assert cnr("logout", "docker.io").code == 0
    assert cnr("logout", "docker.io").code == 3
