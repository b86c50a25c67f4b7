"""Every case of contracts/cnr.md section 9 is a test that names its number, or waits for an issue by name."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CASES: Final = range(1, 85)

WAITING: Final = {76: "issue 6: accounts, tokens and permissions"}
"""Cases without a test yet, and what brings it."""

PARTLY_WAITING: Final = {
    75: "issue 6: a login with wrong credentials needs accounts",
    84: "issue 4: redis and etcd as stores",
}
"""Cases whose test covers all but this."""


def numbers() -> Iterator[int]:
    for file in Path(__file__).parent.glob("test_cases_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_case_"):
                yield int(node.name.split("_")[2])


def test_each_case_is_a_test_or_waits_for_an_issue() -> None:
    tested = set(numbers())
    assert tested | WAITING.keys() == set(CASES)
    assert not tested & WAITING.keys()
    assert tested >= PARTLY_WAITING.keys()
