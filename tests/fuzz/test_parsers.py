"""Every parser of what strangers send, driven by what it covers (libFuzzer, by atheris), for a fixed number of runs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fuzz.parsers.targets import TARGETS
from tests.protocols.cnr.server import ROOT

LONG = os.environ.get("CNR_LONG") == "1"
RUNS = 300_000 if LONG else 2_000
LIMIT_S = 20_000 if LONG else 250

needs_atheris = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")


def run(name: str, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.parsers", name, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT_S,
    )


@needs_atheris
@pytest.mark.parametrize("name", TARGETS)
def test_whatever_it_reads_it_keeps_its_word(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, f"-runs={RUNS}", "-seed=20161116")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    assert f"Done {RUNS} runs" in done.stderr
    assert not list(tmp_path.iterdir())


@needs_atheris
def test_an_input_can_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"bytes=0-1")
    done = run("range", tmp_path, "input")
    assert done.returncode == 0, done.stderr
    assert "Running: input" in done.stderr


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_good(name: str) -> None:
    for seed in (*TARGETS[name].seeds, b"", b"\x00", b"\xff" * 100):
        TARGETS[name].check(seed)
