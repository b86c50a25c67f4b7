"""The real helm, with a home of its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


class Helm:
    """One helm binary and its folders, so that nothing of the person's own is read or written."""

    def __init__(self, program: str, home: Path) -> None:
        self.program = program
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HELM_CACHE_HOME": str(home / "cache"),
            "HELM_CONFIG_HOME": str(home / "config"),
            "HELM_DATA_HOME": str(home / "data"),
            "GNUPGHOME": str(home / "gnupg"),
        }

    def __call__(self, *arguments: str | Path, fails: bool = False, cwd: Path | None = None) -> str:
        """What it prints, on both streams. It must succeed, or with `fails` must not."""
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            env=self.environ,
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def require(program: str) -> str:
    """The program's path; the test is skipped where there is none."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def signing_key(home: Path) -> None:
    """Make a PGP key in `home`/gnupg, and the key rings that helm reads."""
    folder = home / "gnupg"
    folder.mkdir(mode=0o700)
    gpg = [require("gpg"), "--homedir", str(folder), "--batch", "--quiet", "--pinentry-mode", "loopback"]
    made = [*gpg, "--passphrase", "", "--quick-generate-key", "Tests <tests@example.com>", "rsa2048", "sign", "never"]
    try:
        subprocess.run(made, check=True, capture_output=True, timeout=120)
        for option, file in (("--export", "pubring.gpg"), ("--export-secret-keys", "secring.gpg")):
            exported = subprocess.run([*gpg, "--passphrase", "", option], check=True, capture_output=True).stdout
            (home / file).write_bytes(exported)
    finally:
        stop = ["gpgconf", "--homedir", str(folder), "--kill", "gpg-agent"]
        subprocess.run(stop, check=False, capture_output=True)
