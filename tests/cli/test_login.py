"""`cnr login` and `cnr logout`, against real servers with accounts, and who gets the password meanwhile."""

import base64
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.misbehaving import Answer, Handler, Misbehaving, misbehaving
from tests.protocols.auth.world import PASSWORD, World

Run = Callable[..., Any]
SECRET = "a secret of mine"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["bearer", "basic"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.start(tmp_path_factory.mktemp(request.param), CNR_AUTH_SCHEME=request.param)
    yield world
    world.server.kill()


@pytest.fixture
def site(world: World) -> str:
    return world.server.url.removeprefix("http://")


@pytest.fixture
def bad() -> Iterator[Misbehaving]:
    with misbehaving() as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[Misbehaving]:
    with misbehaving() as registry:
        yield registry


@pytest.fixture
def login(cnr: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `cnr login` with a password on standard input."""

    def run(host: str, name: str = "will", password: str = PASSWORD, *words: str) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        return cnr("login", host, "--username", name, "--password-stdin", *words)

    return run


def kept(person: Path) -> Path:
    return person / ".config" / "cnr" / "credentials.json"


def host(registry: Misbehaving) -> str:
    return f"127.0.0.1:{registry.port}"


def test_every_verb_is_logged_in(cnr: Run, login: Run, site: str, chart: Run, person: Path) -> None:
    assert cnr("push", chart("mine"), f"{site}/team").code == 5
    assert cnr("list", site).out.count("team/app") == 0
    done = login(site)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Logged in to {site} as will; the password is in {kept(person)}.\n"
    assert cnr("push", chart("mine"), f"{site}/team", "-f", "-c", "stable").code == 0
    for words in (
        *(("list", site), ("show", f"{site}/team/mine"), ("search", site, "mine"), ("inspect", f"{site}/team/mine")),
        *(("pull", f"{site}/team/mine", "--tarball"), ("channel", f"{site}/team/mine"), ("version", site)),
        *(("tag", "ls", f"{site}/team/mine"), ("tag", "set", f"{site}/team/mine:1.0.0", "also")),
        *(("manifest", "show", f"{site}/team/mine:1.0.0"), ("referrers", f"{site}/team/mine:1.0.0")),
        *(("copy", f"{site}/team/mine:1.0.0", f"{site}/team/copied"), ("yank", f"{site}/team/mine@1.0.0")),
    ):
        done = cnr(*words)
        assert (done.code, done.err) == (0, ""), words
    assert "team/app" in cnr("list", site).out
    assert cnr("delete", f"{site}/team/mine@1.0.0").code == 5  # a writer does not delete
    assert cnr("push", chart("mine"), f"{site}/other").code == 5
    done = cnr("logout", site)
    assert (done.code, done.out) == (0, f"Logged out of {site}, where you were will.\n")
    assert cnr("push", chart("mine"), f"{site}/team", "-f").code == 5
    assert cnr("tag", "ls", f"{site}/team/mine").code == 5
    assert cnr("logout", site).code == 3


def test_an_administrator_is_logged_in_too(cnr: Run, login: Run, site: str) -> None:
    assert cnr("user", "list", "--registry", site).code == 5
    assert login(site, "root").code == 0
    assert "rita" in cnr("user", "list", "--registry", site).out


def test_a_robot_token_is_a_password(cnr: Run, login: Run, world: World, site: str) -> None:
    token = world.headers["narrow robot"]["Authorization"].removeprefix("Bearer ")
    assert login(site, "ci", token).code == 0
    assert cnr("show", f"{site}/team/app").code == 0
    assert cnr("tag", "ls", f"{site}/team/app").code == 0
    assert login(site, "ci", token[:-1] + "x").code == 5


@pytest.mark.parametrize(
    ("name", "password"), [("will", "not the one"), ("nobody", PASSWORD), ("will", "cnr_nonsense")]
)
def test_what_is_wrong_is_not_kept(login: Run, site: str, person: Path, name: str, password: str) -> None:
    refused = login(site, name, password)
    assert (refused.code, refused.out, refused.err.count("\n")) == (5, "", 1)
    assert "the name or password is wrong" in refused.err
    assert password not in refused.err
    assert not kept(person).exists()


def test_the_environment_goes_before_a_login(cnr: Run, login: Run, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert login(site).code == 0
    monkeypatch.setenv("CNR_USERNAME", "will")
    monkeypatch.setenv("CNR_PASSWORD", "wrong")
    assert cnr("show", f"{site}/team/app").code == 5
    assert cnr("tag", "ls", f"{site}/team/app").code == 5


def test_a_file_that_others_can_read_is_not_used(cnr: Run, login: Run, site: str, person: Path) -> None:
    assert login(site).code == 0
    kept(person).chmod(0o644)
    for words in (("show", f"{site}/team/app"), ("logout", site)):
        refused = cnr(*words)
        assert refused.code == 1
        assert f"chmod 600 {kept(person)}" in refused.err
    assert login(site).code == 1


def test_the_answer_in_json(login: Run, site: str, person: Path) -> None:
    answer = login(site, "will", PASSWORD, "--output", "json").json
    assert answer == {"registry": f"http://{site}", "username": "will", "kept": str(kept(person))}


def test_a_registry_without_accounts(cnr: Run, login: Run, registry: str, person: Path) -> None:
    done = login(registry)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"cnr: {registry} lets everybody in and asks nobody for a name: nothing was kept\n"
    assert not kept(person).exists()


@pytest.mark.parametrize(
    ("words", "given", "sentence"),
    [
        (["--password", "x"], "", "No such option"),
        (["-p", "x"], "", "No such option"),
        (["--password-stdin"], "x", "--password-stdin needs --username"),
        ([], "x", "give the user with --username"),
        (["-u", "me"], "x", "give the password with --password-stdin"),
        (["-u", "me", "--password-stdin"], "", "the password is empty"),
        (["-u", "me", "--password-stdin"], "x" * 70_000, "at most"),
        (["-u", "a:b", "--password-stdin"], "x", "no colon"),
        (["-u", "a\nb", "--password-stdin"], "x", "no control characters"),
    ],
)
def test_wrong_usage(cnr: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], given: str, sentence: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    refused = cnr("login", "localhost:1", *words)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert sentence in refused.err


def test_a_registry_is_needed_and_no_password_in_it(cnr: Run) -> None:
    assert "give the registry" in cnr("login").err
    refused = cnr("login", "https://me:hush@example.com")
    assert refused.code == 2
    assert "hush" not in refused.err


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that the other side has gone
        return b""


def typed(person: Path, *words: str, answers: list[tuple[bytes, bytes]]) -> tuple[int, str]:
    """The status and what is to be seen at a terminal where somebody answers each prompt."""
    process, terminal = pty.fork()
    if process == 0:
        env = {"PATH": os.environ["PATH"], "HOME": str(person), "PYTHONPATH": str(ROOT / "src")}
        os.execve(sys.executable, [sys.executable, "-m", "cnr.cli.main", *words], env)
    seen = b""
    while piece := _read(terminal):
        seen += piece
        if answers and answers[0][0] in seen.rpartition(b"\n")[2]:
            os.write(terminal, answers.pop(0)[1] + b"\n")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), seen.decode()


def test_at_a_terminal(cnr: Run, site: str, person: Path) -> None:
    questions = [(b"User name", b"will"), (b"Password", PASSWORD.encode())]
    status, seen = typed(person, "login", site, answers=list(questions))
    assert (status, PASSWORD in seen) == (0, False), seen
    assert f"Logged in to {site} as will" in seen
    assert cnr("show", f"{site}/team/app").code == 0
    status, seen = typed(person, "login", answers=[(b"Registry", site.encode()), *questions])
    assert status == 0, seen


def environment(person: Path, **more: str) -> dict[str, str]:
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "TEST_KEYRING": str(person / "keyring")}
    return {"PATH": os.environ["PATH"], "HOME": str(person), **paths, **more}


def test_in_a_keyring(site: str, person: Path) -> None:
    env = environment(person, PYTHON_KEYRING_BACKEND="tests.client.keyrings.Good")

    def run(*words: str, given: str = "") -> Any:
        command = [sys.executable, "-m", "cnr.cli.main", *words]
        return subprocess.run(command, env=env, input=given, capture_output=True, text=True, timeout=120)

    done = run("login", site, "-u", "will", "--password-stdin", given=PASSWORD)
    assert done.stdout == f"Logged in to {site} as will; the password is in the keyring.\n", done.stderr
    assert PASSWORD not in kept(person).read_text()
    assert PASSWORD in (person / "keyring").read_text()
    assert run("show", f"{site}/team/app").returncode == 0
    env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    lost = run("show", f"{site}/team/app")
    assert lost.returncode == 5
    assert f"no keyring that keeps secrets: going on without the login to {site}" in lost.stderr
    env["PYTHON_KEYRING_BACKEND"] = "tests.client.keyrings.Good"
    assert run("logout", site).returncode == 0
    assert json.loads((person / "keyring").read_text()) == {}


def test_nothing_shows_the_password(site: str, person: Path) -> None:
    """Neither the list of processes nor a traceback, of a login that fails and of one that does not."""
    for password in (PASSWORD, SECRET):
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-m", "cnr.cli.main", "login", site, "-u", "will", "--password-stdin"],
            env=environment(person, CNR_DEBUG="1"),
            input=password,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ("Traceback" in done.stderr) is (password is SECRET)
        for secret in (password, base64.b64encode(f"will:{password}".encode()).decode()):
            assert secret not in done.stdout + done.stderr


# Who gets the password: a registry, and `other`, which it names as a token server or to be redirected to.


def secrets_in(registry: Misbehaving) -> list[str]:
    """The requests that came to a server with the password in them, in any form."""
    basic = base64.b64encode(f"will:{SECRET}".encode()).decode()
    return [
        f"{method} {path}"
        for method, path, headers in registry.asked
        if any(secret in f"{path} {headers}" for secret in (SECRET, basic))
    ]


def asks(challenge: str) -> Callable[[Handler], bool]:
    def gate(handler: Handler) -> bool:
        if handler.path.startswith("/token") or handler.headers.get("Authorization", "").startswith("Bearer t0ken"):
            return False
        handler.answer(401, WWW_Authenticate=challenge)
        return True

    return gate


def says(value: object, status: int = 200) -> Answer:
    return lambda handler: handler.answer(status, json.dumps(value).encode(), Content_Type="application/json")


def test_a_token_server_of_this_machine(login: Run, bad: Misbehaving, other: Misbehaving) -> None:
    bad.gate = asks(f'Bearer realm="http://{host(other)}/token",service="s"')
    other.special["/token"] = says({"token": "t0ken"})
    assert login(host(bad), "will", SECRET).code == 0
    assert (secrets_in(bad), secrets_in(other)) == ([], ["GET /token?service=s"])


@pytest.mark.parametrize(
    "realm",
    ["https://evil.example/token", "http://evil.example/token", "http://192.0.2.1/token", "file:///etc/passwd", ""],
)
def test_a_token_server_that_must_not_have_it(login: Run, bad: Misbehaving, person: Path, realm: str) -> None:
    bad.gate = asks(f'Bearer realm="{realm}"')
    refused = login(host(bad), "will", SECRET)
    assert refused.code in (1, 6)
    assert (refused.err.count("\n"), SECRET in refused.err) == (1, False)
    assert secrets_in(bad) == []
    assert not kept(person).exists()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_token_server_that_sends_on(login: Run, bad: Misbehaving, other: Misbehaving, status: int) -> None:
    bad.gate = asks(f'Bearer realm="http://{host(bad)}/token"')
    bad.special["/token"] = lambda handler: handler.answer(status, Location=f"http://{host(other)}/token")
    assert login(host(bad), "will", SECRET).code == 1
    assert other.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_registry_that_sends_on(login: Run, bad: Misbehaving, other: Misbehaving, person: Path, status: int) -> None:
    away: Answer = lambda handler: handler.answer(status, Location=f"http://{host(other)}{handler.path}")  # noqa: E731
    bad.special |= {"/v2/": away, "/cnr/api/v1/users/login": away}
    assert login(host(bad), "will", SECRET).code == 1
    assert other.asked == []
    assert not kept(person).exists()


def test_a_registry_of_the_cnr_api_alone(cnr: Run, login: Run, bad: Misbehaving, person: Path) -> None:
    bodies: list[Any] = []

    def answer(handler: Handler) -> None:
        bodies.append(json.loads(handler.body))
        token = base64.b64encode(f"will:{SECRET}".encode()).decode()
        says({"token": f"basic {token}"})(handler)

    bad.special |= {"/v2/": lambda handler: handler.answer(404), "/cnr/api/v1/users/login": answer}
    bad.special["/cnr/api/v1/packages"] = says([])
    assert login(host(bad), "will", SECRET).code == 0
    assert bodies == [{"user": {"username": "will", "password": SECRET}}]
    assert cnr("list", host(bad)).code == 0
    assert secrets_in(bad) == ["GET /cnr/api/v1/packages"]
    assert SECRET in kept(person).read_text()


def test_a_token_of_another_form_is_sent_as_it_is(cnr: Run, login: Run, bad: Misbehaving, person: Path) -> None:
    """Source: contracts/cnr.md 2.15: clients send the token verbatim."""
    bad.special |= {"/v2/": lambda handler: handler.answer(404), "/cnr/api/v1/users/login": says({"token": "opaque 1"})}
    bad.special["/cnr/api/v1/packages"] = says([])
    assert login(host(bad), "will", SECRET).code == 0
    assert SECRET not in kept(person).read_text()
    assert cnr("list", host(bad)).code == 0
    assert bad.headers("/cnr/api/v1/packages")[-1]["authorization"] == "opaque 1"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says({"error": {"code": "unauthorized-access", "message": "no", "details": {}}}, 401), 5),
        (says({"error": {"code": "forbidden", "message": "no", "details": {}}}, 403), 5),
        (says({"error": {"code": "not-found", "message": "no", "details": {}}}, 404), 1),
        (says({"error": {"code": "invalid-usage", "message": "no", "details": {}}}, 400), 1),
        (says({"token": "x\r\ny: z"}), 1),
        (says({"token": 5}), 1),
        (lambda handler: handler.answer(200, b"<html>"), 1),
        (lambda handler: handler.answer(503), 6),
    ],
)
def test_a_registry_that_does_not_log_in(login: Run, bad: Misbehaving, person: Path, answer: Answer, code: int) -> None:
    bad.special |= {"/v2/": lambda handler: handler.answer(404), "/cnr/api/v1/users/login": answer}
    refused = login(host(bad), "will", SECRET)
    assert (refused.code, refused.err.count("\n"), SECRET in refused.err) == (code, 1, False)
    assert not kept(person).exists()


@pytest.mark.parametrize(("status", "code"), [(403, 5), (200, 0), (500, 1), (503, 6)])
def test_what_a_registry_says_to_basic(login: Run, bad: Misbehaving, status: int, code: int) -> None:
    def answer(handler: Handler) -> None:
        if "Authorization" in handler.headers:
            handler.answer(status)
        else:
            handler.answer(401, WWW_Authenticate='Basic realm="x"')

    bad.special["/v2/"] = answer
    assert login(host(bad), "will", SECRET).code == code
    assert secrets_in(bad) == ["GET /v2/"]
    assert bad.count("GET", "/v2/") == 2


def test_who_guesses_passwords_has_to_wait(login: Run, tmp_path: Path) -> None:
    for scheme in ("bearer", "basic"):
        world = World.start(tmp_path / scheme, CNR_AUTH_SCHEME=scheme, CNR_LOGIN_FAILURES="2")
        try:
            refused = [login(world.server.url, "will", "not the one") for _ in range(8)]
        finally:
            world.server.kill()
        assert refused[0].code == 5
        assert refused[-1].code == 6
        assert "asks to come again in" in refused[-1].err


def test_nobody_there(login: Run) -> None:
    refused = login("127.0.0.1:1", "will", SECRET)
    assert refused.code == 6
