"""A checkout as somebody new would have it: cloned, with `./run-server`'s own .venv."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.docs.console import Shell, environment, path_without_venv

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/cn-app-registry/cnr-server.git"
IDENTITY = {"GIT_AUTHOR_NAME": "Tests", "GIT_AUTHOR_EMAIL": "tests@example.com"}


class Visitor:
    """Somebody new: a home and an empty folder in which their shells run."""

    def __init__(self, home: Path, origin: Path, venv: Path | None) -> None:
        self.folder = home / "work"
        self._home, self._origin, self._venv = home, origin, venv
        self.folder.mkdir(parents=True)
        # As on a terminal, where curl shows no progress beside an answer.
        (home / ".curlrc").write_text("silent\nshow-error\n")
        shared = ROOT.parent / "shared"
        if shared.exists():
            (self.folder / "shared").symlink_to(shared)
        self._programs = home / "programs"
        self._programs.mkdir()
        helm = shutil.which("helm4")
        if helm is not None:
            (self._programs / "helm").symlink_to(helm)

    def environ(self, path: str = "") -> dict[str, str]:
        """Variables of their shells. Git finds the repository's public address here, in the tree under test."""
        place = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self._origin}.insteadOf",
            "GIT_CONFIG_VALUE_0": REPOSITORY,
        }
        return environment(self._home, path=path or self._path()) | place

    def _path(self) -> str:
        return f"{self._programs}{os.pathsep}{path_without_venv()}"

    def lacks(self, programs: Iterable[str]) -> list[str]:
        """Which of these their shells do not find."""
        return [name for name in programs if shutil.which(name, path=self._path()) is None]

    def clone(self) -> Path:
        """The repository, cloned, with the .venv that a first start would make."""
        checkout = self.folder / "cnr-server"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, checkout], env=self.environ(), check=True)
        if self._venv is not None:
            (checkout / ".venv").symlink_to(self._venv)
        return checkout

    @contextmanager
    def shell(self, folder: Path, path: str = "") -> Iterator[Shell]:
        shell = Shell(folder, self._home / "state", self.environ(path))
        try:
            yield shell
        finally:
            shell.close()


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree under test, with what is not yet committed, as a repository of its own."""
    folder = tmp_path_factory.mktemp("origin")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    committer = {name.replace("AUTHOR", "COMMITTER"): value for name, value in IDENTITY.items()}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "The tree under test"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **IDENTITY, **committer}, check=True)
    return folder


@pytest.fixture(scope="session")
def venv(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `./run-server` installs at its first start."""
    first = Visitor(tmp_path_factory.mktemp("first"), origin, None)
    checkout = first.clone()
    subprocess.run(
        ["bash", "-c", "source scripts/venv.sh; use_venv server"], cwd=checkout, env=first.environ(), check=True
    )
    return checkout / ".venv"


@pytest.fixture
def newcomer(tmp_path: Path, origin: Path) -> Visitor:
    """Somebody on whose machine nothing is installed yet."""
    return Visitor(tmp_path / "newcomer", origin, None)


@pytest.fixture
def visitor(tmp_path: Path, origin: Path, venv: Path) -> Visitor:
    """Somebody who started the server before."""
    return Visitor(tmp_path / "visitor", origin, venv)
