"""`cnr import`: a store of its own, and one that a server is using."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.legacy.old_server import OldServer, archive, save
from tests.protocols.cnr.server import Server

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> Path:
    """The shared packages, which lie beside the repository."""
    folder = pytestconfig.rootpath.parent / "shared" / "corpus"
    assert folder.is_dir(), f"the corpus of packages is missing: {folder}"
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where the new registry is: not there yet."""
    return tmp_path / "store"


@pytest.fixture
def take(cnr: Run, store: Path) -> Run:
    """Runs `cnr import` into the store."""
    return lambda *words: cnr("import", *words, "--database-url", store)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An old store with two packages, one of them under a name that is refused."""
    server = OldServer().push("a/one", "1.0.0").push("a/one", "1.0", archive()).push("UP/two", "1.0.0")
    return server.channel("a/one", "stable", "1.0.0", current="1.0.0").write(tmp_path / "old")


def test_everything_is_taken(take: Run, corpus: Path) -> None:
    first = take(corpus / "cnr-backup1.json")
    assert first.out.splitlines() == [
        "titi/rocketchat: 4 imported, 0 already there, 0 refused",
        "There now: 1 package. Manifests: 4 imported, 0 already there, 0 refused;"
        " channels: 2 imported, 0 already there, 0 refused.",
    ]
    second = take(corpus / "cnr-backup1.json")
    assert "0 imported, 4 already there" in second.out
    assert (first.code, second.code, first.err, second.err) == (0, 0, "", "")


def test_a_report_of_what_was_refused(take: Run, old: Path) -> None:
    done = take(old)
    assert done.code == 8
    assert done.out.splitlines() == [
        "UP/two: 0 imported, 0 already there, 1 refused",
        "a/one: 1 imported, 0 already there, 1 refused",
        "refused: UP/two: the namespace 'UP' has upper-case letters: use 'up' (--lower-case takes it as up/two)",
        "refused: a/one@1.0 kpm: a release is a full SemVer 2.0.0 version such as 1.2.3 or 1.0.0-rc.1,"
        " at most 128 characters",
        "There now: 1 package. Manifests: 1 imported, 0 already there, 2 refused;"
        " channels: 1 imported, 0 already there, 0 refused.",
    ]


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_report_for_scripts(take: Run, old: Path, output: str) -> None:
    done = take(old, "--output", output)
    report = json.loads(done.out) if output == "json" else yaml.safe_load(done.out)
    assert report["manifests"] == {"imported": 1, "already_there": 0, "refused": 2}
    assert [(finding["kind"], finding["package"]) for finding in report["findings"]] == [
        ("refused", "UP/two"),
        ("refused", "a/one"),
    ]
    assert report["findings"][0]["suggestion"] == "up/two"


def test_lower_case(take: Run, old: Path) -> None:
    assert "There now: 2 packages." in take(old, "--lower-case").out


def test_a_dry_run(take: Run, old: Path) -> None:
    dry = take(old, "--dry-run")
    assert (dry.code, dry.out.splitlines()[-1][:29]) == (8, "Would be there: 1 package. Ma")
    assert "1 imported, 0 already there" in take(old).out


def test_limits_are_settings(take: Run, old: Path) -> None:
    assert "the limit is 10" in take(old, "--max-package", "10").out


def test_no_control_character_reaches_the_terminal(take: Run, tmp_path: Path) -> None:
    done = take(OldServer().push("a\x1b[31m/b", "1.0.0").write(tmp_path / "old"))
    assert "\x1b" not in done.out
    assert done.code == 8


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["missing"], 2, "does not exist"),
        (["."], 1, "is no old server's store"),
        (["notes.txt"], 1, "is no backup of an old server: it is no JSON object"),
        ([], 2, "Missing argument"),
        (["notes.txt", "--max-package", "much"], 1, "much"),
    ],
)
def test_what_cannot_be_imported(take: Run, tmp_path: Path, words: list[str], code: int, text: str) -> None:
    save(tmp_path / "notes.txt", "some notes")
    done = take(*words)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert len(done.err.splitlines()) == 1


def test_a_store_that_cannot_be_opened(cnr: Run, old: Path, tmp_path: Path) -> None:
    done = cnr("import", old, "--database-url", save(tmp_path / "a-file", ""))
    assert (done.code, len(done.err.splitlines())) == (1, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_store_of_another_user_is_refused(take: Run, store: Path, old: Path) -> None:
    store.mkdir()
    os.chown(store, 12345, 12345)
    done = take(old)
    assert (done.code, done.out) == (1, "")
    assert "run this as its owner" in done.err
    assert list(store.iterdir()) == []


def test_while_a_server_runs_on_the_store(take: Run, store: Path, old: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, env={"DATABASE_URL": str(store)}).start()
    try:
        assert take(old).code == 8
        shown = httpx.get(f"{server.url}/api/v1/packages/a/one/channels/stable", trust_env=False).json()
        assert shown == {"current": "1.0.0", "name": "stable", "releases": ["1.0.0"]}
    finally:
        server.kill()


def test_the_old_store_may_be_the_folder_of_the_new_one(cnr: Run, old: Path) -> None:
    before = {path: path.read_bytes() for path in (old / "cnr").rglob("*") if path.is_file()}
    assert cnr("import", old, "--database-url", old).code == 8
    assert cnr("import", old, "--database-url", old).out.splitlines()[1] == (
        "a/one: 0 imported, 1 already there, 1 refused"
    )
    assert {path: path.read_bytes() for path in (old / "cnr").rglob("*") if path.is_file()} == before
