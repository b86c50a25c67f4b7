"""README.md of this folder names a test for every class of attack and protocol, and each of them is there."""

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LINES = [line for line in (TESTS / "hostile" / "README.md").read_text().splitlines() if line.startswith("| ")]
HEAD, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
CLASSES = 18


@functools.cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_class_is_missing() -> None:
    assert HEAD == ["Class", "CNR", "OCI", "Helm", "Site"]
    assert len(ROWS) == len({row[0] for row in ROWS}) == CLASSES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_cell_names_tests_or_says_why_not(row: list[str]) -> None:
    assert len(row) == len(HEAD)
    for cell in row[1:]:
        assert cell
        if cell.startswith("- "):
            continue
        for name in cell.split():
            file, _, test = name.partition("::")
            assert test in functions(file) or (test == "*" and functions(file)), name
