"""Records anew what real clients send: `python -m tests.fuzz.record [FLOW...]`.

The programs of ./run-tests have to be on PATH. Each flow becomes a file of tests/golden/exchanges, with placeholders
for what differs at each run.
"""

import base64
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from tests.clients.charts import chart_file
from tests.clients.program import Program, cnr, program
from tests.clients.recorder import Exchange, Recorder, recorder
from tests.fuzz.message import EXCHANGES
from tests.protocols.auth.world import PASSWORD, World
from tests.protocols.cnr.server import Server

NAMESPACE: Final = "recorded"
_SECRET: Final = re.compile(r"^(Basic|Bearer|basic) .+")
_LEFT_OUT: Final = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive"}
Steps = Callable[["Recording"], None]


class Recording:
    """What the steps of a flow may use."""

    def __init__(self, proxy: Recorder, folder: Path) -> None:
        self.proxy = proxy
        self.host = proxy.host
        self.folder = folder

    def run(self, name: str, *words: object) -> str:
        """A client program's output."""
        return self.program(name)(*words)

    def program(self, name: str) -> Program:
        return cnr(self.folder) if name == "cnr" else program(name, self.folder)

    def chart(self, name: str, version: str) -> Path:
        return chart_file(self.folder, name, version)


def helm(client: str) -> Mapping[str, Steps]:
    """Flows of a helm over OCI."""

    def push(at: Recording) -> None:
        at.run(client, "push", at.chart("web", "1.0.0"), f"oci://{at.host}/{NAMESPACE}", "--plain-http")
        at.run(client, "pull", f"oci://{at.host}/{NAMESPACE}/web", "--version", "^1", "--plain-http")

    def repository(at: Recording) -> None:
        at.run(client, "repo", "add", "mine", f"http://{at.host}/helm/{NAMESPACE}")
        at.run(client, "pull", "mine/web")

    return {f"{client}-push-and-pull": push, f"{client}-repository": repository}


def cnr_push(at: Recording) -> None:
    package = f"{at.host}/{NAMESPACE}/app"
    folder = at.folder / "content"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: app\nversion: 1.0.0\ndescription: An app\n")
    at.run("cnr", "push", folder, f"{package}@1.0.0", "-c", "stable")
    at.run("cnr", "show", f"{package}@1.0.0")
    at.run("cnr", "pull", f"{package}@1.0.0", "--media-type", "helm")


def curl_cnr(at: Recording) -> None:
    """The calls of the CNR API that the command does not make, as its documentation shows them."""
    base = f"http://{at.host}/cnr/api/v1/packages"
    data = at.chart("tool", "1.0.0").read_bytes()
    body = {"release": "1.0.0", "media_type": "helm", "blob": base64.b64encode(data).decode()}
    (at.folder / "push.json").write_text(json.dumps(body))
    package = f"{base}/{NAMESPACE}/tool"
    yank = f"{package}/1.0.0/yank"
    for method, url in (
        ("POST", package),
        ("POST", f"{package}?force=true"),
        ("GET", package),
        ("GET", f"{package}/1.0.0/helm"),
        ("GET", f"{package}/1.0.0/helm/pull"),
        ("GET", f"{package}/1.0.0/helm/pull?format=json"),
        ("POST", f"{package}/channels/stable/1.0.0"),
        ("GET", f"{package}/channels"),
        ("GET", f"{package}/channels/stable"),
        ("POST", yank),
        ("DELETE", yank),
        ("GET", f"{base}?namespace={NAMESPACE}&query=too"),
        ("GET", f"{base}/search?q=tool"),
        ("GET", f"http://{at.host}/api/v1/search?q=tool&limit=10"),
        ("DELETE", f"{package}/channels/stable/1.0.0"),
        ("DELETE", f"{package}/1.0.0/helm"),
    ):
        data_words = {package: ("--data-binary", "@push.json"), yank: ("-d", '{"reason": "it loses data"}')}
        words = data_words.get(url.partition("?")[0], ()) if method == "POST" else ()
        at.run("curl", "-s", "-o", "/dev/null", "-X", method, *words, url)


def curl_form(at: Recording) -> None:
    """A CNR push as a form, which some old clients sent."""
    blob = base64.b64encode(at.chart("form", "1.0.0").read_bytes()).decode()
    fields = [f"release=1.0.0&media_type=helm&blob={blob.replace('+', '%2B')}"]
    url = f"http://{at.host}/cnr/api/v1/packages/{NAMESPACE}/form"
    at.run("curl", "-s", "-o", "/dev/null", "-d", fields[0], url)
    words = [
        word for name, value in (("release", "2.0.0"), ("media_type", "helm")) for word in ("-F", f"{name}={value}")
    ]
    (at.folder / "blob").write_text(blob)
    at.run("curl", "-s", "-o", "/dev/null", *words, "-F", "blob=<blob", url)


def curl_charts(at: Recording) -> None:
    """The ChartMuseum API as its documentation shows it, and the classic repository."""
    api = f"http://{at.host}/helm/api/{NAMESPACE}"
    one, two = at.chart("museum", "1.0.0"), at.chart("museum", "1.1.0")
    tenant = f"http://{at.host}/helm/{NAMESPACE}"
    for words in (
        ("--data-binary", f"@{one}", f"{api}/charts"),
        ("-F", f"chart=@{two}", f"{api}/charts"),
        ("-F", f"chart=@{two}", f"{api}/charts?force"),
        (f"{api}/charts",),
        (f"{api}/charts/museum?limit=1&offset=1",),
        (f"{api}/charts/museum/1.0.0",),
        ("-I", f"{api}/charts/museum/latest"),
        (f"{api}/charts/museum/1.0.0/templates",),
        (f"{api}/charts/museum/1.0.0/values",),
        (f"{tenant}/index.yaml",),
        (f"{tenant}/index.json?limit=1",),
        (f"{tenant}/charts/museum-1.0.0.tgz",),
        (f"{tenant}/charts/museum-1.0.0.tgz.prov",),
        ("-X", "DELETE", f"{api}/charts/museum/1.0.0"),
    ):
        at.run("curl", "-s", "-o", "/dev/null", *words)


def cm_push(at: Recording) -> None:
    at.run("helm-cm-push", at.chart("pushed", "1.0.0"), f"http://{at.host}/helm/{NAMESPACE}")


def oras(at: Recording) -> None:
    (at.folder / "file.txt").write_text("an artifact\n")
    name = f"{at.host}/{NAMESPACE}/artifact"
    plain = "--plain-http"
    at.run("oras", "push", plain, f"{name}:v1", "file.txt:text/plain")
    at.run("oras", "attach", plain, "--artifact-type", "a/sbom", f"{name}:v1", "file.txt:text/plain")
    at.run("oras", "discover", plain, f"{name}:v1")
    at.run("oras", "tag", plain, f"{name}:v1", "v2")
    at.run("oras", "cp", "--from-plain-http", "--to-plain-http", f"{name}:v1", f"{at.host}/{NAMESPACE}/copy:v1")
    at.run("oras", "repo", "tags", plain, name)
    at.run("oras", "repo", "ls", plain, at.host)
    at.run("oras", "manifest", "delete", plain, "--force", f"{name}:v2")


def curl_oci(at: Recording) -> None:
    """What no client above sends: an upload in pieces, a mount, a range, a blob deleted, a cancelled upload."""
    data = bytes(range(256)) * 4
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (at.folder / "a").write_bytes(data[:500])
    (at.folder / "b").write_bytes(data[500:])
    base = f"http://{at.host}/v2/{NAMESPACE}/pieces"

    def send(*words: object) -> str:
        head = at.run("curl", "-s", "-D", "-", "-o", "/dev/null", *words)
        found = re.search(r"(?im)^location: (\S+)", head)
        return f"http://{at.host}{found[1]}" if found else ""

    upload = send("-X", "POST", f"{base}/blobs/uploads/")
    plain = ("-H", "Content-Type: application/octet-stream")
    upload = send("-X", "PATCH", *plain, "-H", "Content-Range: 0-499", "--data-binary", "@a", upload)
    send(upload)
    upload = send("-X", "PATCH", *plain, "-H", "Content-Range: 500-1023", "--data-binary", "@b", upload)
    send("-X", "PUT", f"{upload}?digest={digest}")
    send("-H", "Range: bytes=10-99", f"{base}/blobs/{digest}")
    send("-X", "POST", f"http://{at.host}/v2/{NAMESPACE}/mounted/blobs/uploads/?mount={digest}&from={NAMESPACE}/pieces")
    send("-X", "POST", *plain, "--data-binary", "@a", f"{base}/blobs/uploads/?digest={digest}")
    send("-X", "DELETE", send("-X", "POST", f"{base}/blobs/uploads/"))
    send("-X", "DELETE", f"{base}/blobs/{digest}")
    send(f"http://{at.host}/v2/_catalog?n=2&last=a")
    send(f"{base}/tags/list?n=1")
    send(f"{base}/referrers/{digest}?artifactType=a/b")


OPEN: Final[Mapping[str, Steps]] = {
    **helm("helm3"),
    **helm("helm4"),
    "cnr-push-and-pull": cnr_push,
    "curl-cnr": curl_cnr,
    "curl-cnr-form": curl_form,
    "curl-chartmuseum": curl_charts,
    "curl-oci": curl_oci,
    "cm-push": cm_push,
    "oras": oras,
}


def login_helm(at: Recording) -> None:
    at.run("helm3", "registry", "login", at.host, "-u", "root", "-p", PASSWORD, "--plain-http")
    at.run("helm3", "push", at.chart("web", "1.0.0"), f"oci://{at.host}/team", "--plain-http")


def login_oras(at: Recording) -> None:
    at.run("oras", "login", at.host, "-u", "root", "-p", PASSWORD, "--plain-http")
    at.run("oras", "repo", "tags", "--plain-http", f"{at.host}/team/app")


def login_curl(at: Recording) -> None:
    body = json.dumps({"user": {"username": "root", "password": PASSWORD}})
    at.run("curl", "-s", "-o", "/dev/null", "-d", body, f"http://{at.host}/cnr/api/v1/users/login")
    words = ("-s", "-o", "/dev/null", "-u", f"root:{PASSWORD}")
    at.run("curl", *words, f"http://{at.host}/token?service=cnr-server&scope=repository:team/app:pull,push")
    at.run("curl", *words, "-d", "grant_type=password&service=cnr-server&username=root", f"http://{at.host}/token")
    at.run("curl", *words, f"http://{at.host}/v2/")
    at.run("curl", *words, f"http://{at.host}/cnr/api/v1/packages/team/app")
    at.run("curl", *words, f"http://{at.host}/helm/team/index.yaml")


LOGINS: Final[Mapping[str, Steps]] = {"login-helm3": login_helm, "login-oras": login_oras, "login-curl": login_curl}


def main(names: Sequence[str]) -> None:
    """Record all of them, or those named; a client that is not installed leaves its file as it is."""
    for name, steps in _named(OPEN, names):
        with _open() as url:
            _record(name, url, steps)
    for name, steps in _named(LOGINS, names):
        with _authenticated() as url:
            _record(name, url, steps)


def _named(flows: Mapping[str, Steps], names: Sequence[str]) -> list[tuple[str, Steps]]:
    return [(name, steps) for name, steps in flows.items() if not names or name in names]


@contextmanager
def _open() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), entry="serve").start()
        try:
            yield server.url
        finally:
            server.kill()


@contextmanager
def _authenticated() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        world = World.start(Path(folder))
        try:
            yield world.server.url
        finally:
            world.server.kill()


def _record(name: str, url: str, steps: Steps) -> None:
    with tempfile.TemporaryDirectory() as folder, recorder(url) as proxy:
        if name.endswith("-repository"):
            _seed(url, Path(folder))
        try:
            steps(Recording(proxy, Path(folder)))
        except BaseException as exc:
            if type(exc).__name__ != "Skipped":
                raise
            print(f"left as it is: {name}: {exc}")
            return
        _write(name, proxy.taken(), proxy.host)


def _seed(url: str, folder: Path) -> None:
    chart = chart_file(folder, "web", "1.0.0").read_bytes()
    assert httpx.post(f"{url}/helm/api/{NAMESPACE}/charts", content=chart).status_code == 201


def _write(name: str, exchanges: Sequence[Exchange], host: str) -> None:
    places: dict[str, str] = {host: "{host}", NAMESPACE: "{namespace}"}
    rows = []
    for number, each in enumerate(exchanges):
        rows.append(_row(each, places))
        for text, place in _answered(number, each):
            places = {text: place, **places}
    client = next((value for each in exchanges for key, value in each.headers.items() if key == "user-agent"), name)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    text = f'{{"client": {json.dumps(client)}, "requests": [\n{lines}\n]}}\n'
    (EXCHANGES / f"{name}.json").write_text(text)


def _answered(number: int, each: Exchange) -> Iterator[tuple[str, str]]:
    """What the answer gave for later requests."""
    if "/uploads/" in each.answered.get("location", ""):
        yield each.answered["location"].partition("?")[0], f"{{location-{number}}}"
    if each.path.endswith("/token") and each.status == 200:
        yield str(json.loads(each.answer)["token"]), f"{{token-{number}}}"


def _row(each: Exchange, places: Mapping[str, str]) -> dict[str, Any]:
    def named(text: str) -> str:
        for value, place in places.items():
            text = text.replace(value, place)
        return _SECRET.sub(r"\1 {basic}", text) if "{token-" not in text else text

    headers = {"Host": "{host}"}
    headers |= {key.title(): named(value) for key, value in each.headers.items() if key not in _LEFT_OUT}
    row: dict[str, Any] = {
        "method": each.method,
        "target": named(each.target),
        "headers": headers,
        "status": each.status,
    }
    if each.body:
        row |= _body(each.body)
    return row


def _body(body: bytes) -> dict[str, str]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
    return {"text": text}


if __name__ == "__main__":
    main(sys.argv[1:])
