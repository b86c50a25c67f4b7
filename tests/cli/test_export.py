"""`cnr export`: to a file or a pipe, from a store that may be in use."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.legacy.old_server import OldServer, archive

Run = Callable[..., Any]


@pytest.fixture
def store(cnr: Run, tmp_path: Path) -> Path:
    """A registry with the packages a/one and b/two."""
    old = OldServer().push("a/one", "1.0.0", archive("x" * 100_000)).push("b/two", "1.0.0")
    folder = tmp_path / "store"
    words = (old.channel("b/two", "dev", "1.0.0", current="1.0.0").write(tmp_path / "old"), "--database-url", folder)
    assert cnr("import", *words).code == 0
    return folder


def test_to_standard_output(cnr: Run, store: Path) -> None:
    done = cnr("export", "--database-url", store)
    assert (done.code, done.err) == (0, "")
    assert [entry["package"] for entry in done.json["packages"]] == ["a/one", "b/two"]
    assert done.json["channels"] == [{"current": "1.0.0", "name": "dev", "package": "b/two"}]


def test_to_a_file_and_back(cnr: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    done = cnr("export", "--database-url", store, "--dest", file)
    assert (done.code, done.out, done.err) == (0, "", f"cnr: {file.stat().st_size:,} bytes written to {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert cnr("import", file, "--database-url", tmp_path / "other").code == 0
    assert cnr("export", "--database-url", tmp_path / "other").out == file.read_text()


def test_some_packages(cnr: Run, store: Path) -> None:
    done = cnr("export", "--database-url", store, "--package", "b/two")
    assert [entry["package"] for entry in done.json["packages"]] == ["b/two"]


def test_a_package_that_is_not_there_leaves_the_file_as_it_was(cnr: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    file.write_text("before")
    done = cnr("export", "--database-url", store, "--dest", file, "--package", "b/two", "--package", "no/pkg")
    assert (done.code, done.out, done.err) == (3, "", "cnr: there is no package no/pkg\n")
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == ["backup.json"]


@pytest.mark.parametrize("name", ["one", "A/one", "a/b/c"])
def test_a_name_that_no_package_has(cnr: Run, store: Path, name: str) -> None:
    done = cnr("export", "--database-url", store, "--package", name)
    assert (done.code, done.out) == (2, "")
    assert "--package" in done.err


def test_a_folder_that_is_not_there(cnr: Run, store: Path, tmp_path: Path) -> None:
    done = cnr("export", "--database-url", store, "--dest", tmp_path / "no" / "backup.json")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1


def test_a_reader_that_goes_away(store: Path) -> None:
    words = [sys.executable, "-m", "cnr.cli.main", "export", "--database-url", str(store)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # long before the first byte: a small export would fit into the pipe
        errors = process.stderr.read().decode()
    assert (process.returncode, errors) == (141, "")
