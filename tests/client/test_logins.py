"""The file in which logins are kept: whole, and its owner's alone at every moment."""

import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cnr.client.credentials import Credentials
from cnr.client.errors import ClientError, NoKeyring
from cnr.client.logins import Logins
from cnr.client.reference import RegistryAddress, parse_registry
from cnr.client.secret_file import SIZE_LIMIT, SecretFile

ALICE = Credentials("alice", "hush")


class NoneHere:
    """A system without a keyring."""

    def keep(self, service: str, user: str, secret: str) -> None:
        raise NoKeyring("none")

    def secret(self, service: str, user: str) -> str:
        raise NoKeyring("none")

    def forget(self, service: str, user: str) -> None:
        raise NoKeyring("none")


class Ring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def keep(self, service: str, user: str, secret: str) -> None:
        self.kept[service, user] = secret

    def secret(self, service: str, user: str) -> str:
        return self.kept[service, user]

    def forget(self, service: str, user: str) -> None:
        self.kept.pop((service, user), None)


def at(text: str) -> RegistryAddress:
    return parse_registry(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "b" / "credentials.json"


def on(path: Path) -> Logins:
    return Logins(SecretFile(path), NoneHere())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_kept_and_forgotten(path: Path) -> None:
    logins = on(path)
    assert logins.find(at("example.com")) is None
    assert logins.forget(at("example.com")) is None
    assert logins.keep(at("example.com"), ALICE) == str(path)
    assert on(path).find(at("example.com")) == ALICE
    logins.keep(at("example.com"), Credentials("bob", "other"))
    logins.keep(at("localhost:5000"), Credentials("carl", fixed="basic abc"))
    assert on(path).find(at("example.com")) == Credentials("bob", "other")
    assert on(path).find(at("localhost:5000")) == Credentials(fixed="basic abc")
    assert logins.forget(at("example.com")) is not None
    assert on(path).find(at("example.com")) is None
    assert on(path).find(at("localhost:5000")) is not None


@pytest.mark.parametrize(
    ("kept", "asked", "same"),
    [
        ("example.com", "EXAMPLE.com", True),
        ("example.com", "https://example.com:443", True),
        ("example.com", "http://example.com", False),
        ("example.com:443", "http://example.com:443", False),
        ("example.com", "example.com:8443", False),
        ("example.com", "sub.example.com", False),
        ("localhost:5000", "http://localhost:5000", True),
        ("localhost:5000", "https://localhost:5000", False),
        ("localhost:5000", "127.0.0.1:5000", False),
    ],
)
def test_which_registry_gets_it(path: Path, kept: str, asked: str, same: bool) -> None:
    on(path).keep(at(kept), ALICE)
    assert on(path).find(at(asked)) == (ALICE if same else None)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_read_it(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        on(path).keep(at("example.com"), ALICE)
        on(path).keep(at("example.org"), ALICE)
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_others_can_enter_is_closed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    on(path).keep(at("example.com"), ALICE)
    assert mode(path.parent) == 0o700


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_read_is_refused(path: Path, open_to: int) -> None:
    on(path).keep(at("example.com"), ALICE)
    path.chmod(open_to)
    for attempt in (on(path).find, on(path).forget, lambda registry: on(path).keep(registry, ALICE)):
        with pytest.raises(ClientError, match=f"others on this machine.*chmod 600 {path}"):
            attempt(at("example.com"))
    path.chmod(0o600)
    assert on(path).find(at("example.com")) == ALICE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"version":2,"registries":{}}',
        b'{"version":1,"registries":{"https://example.com":{"secret":5}}}',
        b'{"version":1,"registries":{},"more":1}',
        b"\xff" * 9,
        b" " * (SIZE_LIMIT + 1),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(0o600)
    for attempt in (on(path).find, on(path).forget, lambda registry: on(path).keep(registry, ALICE)):
        with pytest.raises(ClientError, match=r"credentials\.json"):
            attempt(at("example.com"))
    assert path.read_bytes() == content


def test_a_pipe_in_its_place(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.mkfifo(path, 0o600)
    with pytest.raises(ClientError, match="is no file"):
        on(path).find(at("example.com"))


def _keep_some(path: Path, number: int) -> None:
    for each in range(10):
        on(path).keep(at(f"r{number}-{each}.example.com"), ALICE)


def test_several_processes_lose_nothing(path: Path) -> None:
    fork = multiprocessing.get_context("spawn")
    processes = [fork.Process(target=_keep_some, args=(path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(json.loads(path.read_text())["registries"]) == 40


_FOREVER = """
import sys
from pathlib import Path
from tests.client.test_logins import ALICE, at, on
number = 0
while True:
    number += 1
    on(Path(sys.argv[1])).keep(at(f"r{number % 50}.example.com"), ALICE)
    print(number, flush=True)
"""


def test_a_kill_leaves_the_old_or_the_new(path: Path) -> None:
    root = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": f"{root}:{root / 'src'}"}
    for after in (1, 2, 5, 9):
        with subprocess.Popen(
            [sys.executable, "-c", _FOREVER, str(path)], env=env, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(after):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        assert on(path).find(at("r1.example.com")) == ALICE
        assert all(mode(file) == 0o600 for file in path.parent.iterdir())
    on(path).keep(at("last.example.com"), ALICE)
    assert list(path.parent.iterdir()) == [path]


def test_with_a_keyring_the_file_has_no_secret(path: Path) -> None:
    ring = Ring()
    logins = Logins(SecretFile(path), ring)
    assert logins.keep(at("example.com"), ALICE) == "the keyring"
    assert "hush" not in path.read_text()
    assert logins.find(at("example.com")) == ALICE
    logins.keep(at("example.com"), Credentials("bob", "other"))
    assert list(ring.kept) == [("cnr https://example.com", "bob")]
    logins.forget(at("example.com"))
    assert (ring.kept, logins.find(at("example.com"))) == ({}, None)


def test_a_keyring_that_is_gone_keeps_the_login_back(path: Path) -> None:
    Logins(SecretFile(path), Ring()).keep(at("example.com"), ALICE)
    for attempt in (on(path).find, on(path).forget):
        with pytest.raises(NoKeyring):
            attempt(at("example.com"))
    on(path).keep(at("example.com"), ALICE)
    assert on(path).find(at("example.com")) == ALICE
