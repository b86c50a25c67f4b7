"""The README that the product was asked for (../shared/seed-readme.md): its commands, word for word.

Only the shortened base64 of its push is replaced, by the one that the README prints in full above it.
"""

import base64
import json
import re
import subprocess
import sys

import pytest
from tests.docs.conftest import ROOT, Visitor
from tests.docs.console import Command, Shell, path_without_venv

SEED = ROOT.parent / "shared" / "seed-readme.md"
SHORTENED = "H4sIAP3mAFgAA...."
KEYS = {"channels", "content", "created_at", "mediaType", "package", "release"}


class Seed:
    """The seed's blocks, by what they begin with."""

    def __init__(self) -> None:
        text = SEED.read_text()
        blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        self.pack, push, show, self.fetch = blocks
        self.blob = self.pack.split()[-1]
        assert SHORTENED in push
        self.push = push.replace(SHORTENED, self.blob)
        self.show, self.shown = show.split("\n", 1)
        steps = dict(re.findall(r"^(\d)\. (.*)$", text, re.MULTILINE))
        self.clone = steps["1"]
        self.install = steps["2"]
        found = re.search(r"`(gunicorn [^`]*)`\nor \"(\S+)\"", text)
        assert found is not None
        self.gunicorn, self.run_server = found.groups()


@pytest.fixture
def seed() -> Seed:
    return Seed()


def walk(shell: Shell, seed: Seed) -> None:
    """Push the chart, show it, fetch it."""
    assert json.loads(shell.run(Command(seed.push, "", 1))) == {"status": "ok"}
    shown = json.loads(shell.run(Command(seed.show, "", 2)))
    assert set(shown) == KEYS
    assert shown | {"created_at": None} == json.loads(seed.shown) | {"created_at": None}
    shell.run(Command(seed.fetch, "", 3))
    fetched = shell.run(Command("base64 -w 0 elasticsearch-chart.tar.gz", "", 4))
    assert base64.b64decode(fetched) == base64.b64decode(seed.blob)


def test_with_run_server(newcomer: Visitor, seed: Seed) -> None:
    with newcomer.shell(newcomer.folder) as shell:
        shell.run(Command(seed.clone, "", 1))
        shell.run(Command(seed.run_server, "", 2))
        walk(shell, seed)


def test_with_gunicorn(newcomer: Visitor, seed: Seed) -> None:
    venv = newcomer.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    with newcomer.shell(newcomer.folder, f"{venv}/bin:{path_without_venv()}") as shell:
        shell.run(Command(seed.clone, "", 1))
        shell.run(Command(seed.install, "", 2))
        shell.run(Command(seed.gunicorn, "", 3))
        walk(shell, seed)


def test_the_chart_packs_as_the_seed_says(newcomer: Visitor, seed: Seed) -> None:
    charts = newcomer.folder / "charts" / "elasticsearch"
    charts.mkdir(parents=True)
    with newcomer.shell(charts) as shell:
        shell.run(Command(f"base64 -d <<<{seed.blob} | tar xz", "", 1))
        _, tar, encode, _ = seed.pack.splitlines()
        shell.run(Command(tar, "", 2))
        assert base64.b64decode(shell.run(Command(encode, "", 3))).startswith(b"\x1f\x8b")


def test_what_the_seed_links_to_is_there() -> None:
    for target in re.findall(r"\]\((Documentation/[^)]+)\)", SEED.read_text()):
        assert (ROOT / target).is_file()
