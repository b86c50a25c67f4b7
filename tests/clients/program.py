"""Real client programs, run as a user runs them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

LIMIT_S: Final = 120
_DIGEST: Final = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A command line, run in `folder` with a home that nobody else has."""

    words: tuple[str, ...]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: object) -> str:
        """What it printed, standard output first. Fails the test where the program fails."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def out(self, *words: object) -> str:
        """Its standard output alone."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *words: object) -> str:
        """What it printed, where it has to fail."""
        done = self.attempt(*words)
        assert done.returncode != 0, f"{done.args} did not fail:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def attempt(self, *words: object) -> "subprocess.CompletedProcess[str]":
        """Its status and what it printed, whether it failed or not."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return subprocess.run(
            [*self.words, *map(str, words)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )


def program(name: str, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Program:
    """The program of this name on PATH; `words` go before all others. Skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(
            f"{name} is not installed: ./run-tests gets it where go is, or Debian's package (scripts/programs.sh)"
        )
    return Program((found, *words), folder, env or {})


def cnr(folder: Path) -> Program:
    """This checkout's `cnr`."""
    return Program((sys.executable, "-m", "cnr.cli.main"), folder)


def digest_in(printed: str) -> str:
    """The manifest's digest that helm and oras print."""
    found = _DIGEST.search(printed)
    assert found is not None, printed
    return found[1]


@dataclass(frozen=True)
class Helm:
    """`helm` against one server, over plain HTTP."""

    run: Program
    site: str

    def at(self, site: str) -> "Helm":
        """The same helm against another HOST:PORT."""
        return Helm(self.run, site)

    def url(self, path: str) -> str:
        return f"oci://{self.site}/{path}"

    def push(self, archive: Path, namespace: str) -> str:
        """Push a .tgz; the digest that helm printed."""
        return digest_in(self.run("push", archive, self.url(namespace), "--plain-http"))

    def pull(self, path: str, *words: object) -> Path:
        """Pull into a new folder, which is returned."""
        into = self.run.folder / "pulled"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        self.run("pull", self.url(path), "--destination", into, "--plain-http", *words)
        return into

    def archive(self, path: str, *words: object) -> Path:
        """Pull one .tgz."""
        (found,) = self.pull(path, *words).glob("*.tgz")
        return found

    def show(self, what: str, path: str, *words: object) -> str:
        return self.run.out("show", what, self.url(path), "--plain-http", *words)

    def version_of(self, path: str, *words: object) -> str:
        """The version of the chart that is found so."""
        found = re.search(r"^version: (.+)$", self.show("chart", path, *words), re.MULTILINE)
        assert found is not None
        return found[1].strip("'\"")
