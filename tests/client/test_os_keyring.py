"""Which keyrings are used, each in a process of its own, since the library chooses once; and a real one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_KEEP = """
import sys
from cnr.client.errors import NoKeyring
from cnr.client.os_keyring import OsKeyring
keyring = OsKeyring(float(sys.argv[1]))
try:
    keyring.keep("cnr https://example.com", "alice", "hush hush")
    print(keyring.secret("cnr https://example.com", "alice"))
    keyring.forget("cnr https://example.com", "alice")
    keyring.forget("cnr https://example.com", "alice")
    keyring.secret("cnr https://example.com", "alice")
except NoKeyring as exc:
    print(exc)
"""


def run(tmp_path: Path, *words: str, backend: str = "", limit_s: float = 20) -> list[str]:
    """The lines that a process prints which keeps a secret."""
    # Without a session there is no bus, and so no keyring but what is chosen.
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    env |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "TEST_KEYRING": str(tmp_path / "keyring")}
    env |= {"PYTHON_KEYRING_BACKEND": backend} if backend else {}
    done = subprocess.run(
        [*words, sys.executable, "-c", _KEEP, str(limit_s)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_a_keyring_that_was_chosen(tmp_path: Path) -> None:
    printed = run(tmp_path, backend="tests.client.keyrings.Good")
    assert printed == ["hush hush", "the keyring has nothing under this name"]


@pytest.mark.parametrize(
    "backend",
    [
        "",
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "tests.client.keyrings.Plain",
    ],
)
def test_what_keeps_nothing_or_plain_text_is_no_keyring(tmp_path: Path, backend: str) -> None:
    assert run(tmp_path, backend=backend) == ["this system has no keyring that keeps secrets"]
    assert not (tmp_path / "keyring").exists()


def test_a_keyring_that_gives_nothing_back(tmp_path: Path) -> None:
    printed = run(tmp_path, backend="tests.client.keyrings.Forgetful")
    assert printed == ["the keyring does not give back what it was given"]


def test_a_keyring_that_talks(tmp_path: Path) -> None:
    printed = run(tmp_path, backend="tests.client.keyrings.Talkative")
    assert printed == ["the keyring cannot be used (RuntimeError)"]


def test_a_keyring_that_waits_for_ever(tmp_path: Path) -> None:
    printed = run(tmp_path, backend="tests.client.keyrings.Hanging", limit_s=0.2)
    assert printed == ["the keyring did not answer within 0.2 seconds"]


@pytest.fixture
def session() -> list[str]:
    """Words that run what follows in a session of its own with a bus."""
    for name in ("dbus-run-session", "gnome-keyring-daemon"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed (Debian: scripts/programs.sh)")
    return ["dbus-run-session", "--", "bash", "-c"]


def test_gnomes_keyring(tmp_path: Path, session: list[str]) -> None:
    unlocked = 'printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec "$@"'
    assert run(tmp_path, *session, unlocked, "sh") == ["hush hush", "the keyring has nothing under this name"]


def test_gnomes_keyring_while_nobody_unlocks_it(tmp_path: Path, session: list[str]) -> None:
    locked = 'gnome-keyring-daemon --start --components=secrets >/dev/null 2>&1; exec "$@"'
    (printed,) = run(tmp_path, *session, locked, "sh", limit_s=10)
    assert printed.startswith("the keyring ")
