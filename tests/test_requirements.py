"""The pinned requirements: complete, hashed, and without a word about where packages come from."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILES = ("server", "test", "lint")


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def wanted(name: str) -> list[Requirement]:
    if name == "server":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        extras = project["project"]["optional-dependencies"].values()
        lines = [*project["project"]["dependencies"], *itertools.chain(*extras), *project["build-system"]["requires"]]
    else:
        lines = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_wanted_is_pinned(name: str) -> None:
    pinned = pins(name)
    for requirement in wanted(name):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_a_hash_and_no_line_an_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for pin in re.findall(r"^[a-z0-9].*(?:\n .*)*", text, re.MULTILINE):
        assert "--hash=sha256:" in pin
    assert "://" not in text
    assert not re.search(r"^ *--(?!hash)", text, re.MULTILINE)


def test_no_two_files_disagree() -> None:
    agreed: dict[str, str] = {}
    for name in FILES:
        for package, version in pins(name).items():
            assert agreed.setdefault(package, version) == version
