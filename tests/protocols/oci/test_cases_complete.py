"""Every case of contracts/oci-helm.md section 7 is a test that names its number, or waits for what brings it.

A test names its cases as `test_case_4_...` or `test_cases_4_and_17_...`; `test_cases_9_to_11_...` are three. Those of
real clients, in tests/clients, may do so in their docstring: "Case 81.", "Cases 71 and 72".
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CASES: Final = range(1, 109)
FOLDERS: Final = ("protocols/oci", "protocols/helm", "protocols/classic", "clients", "registry")

WAITING: Final = {
    **dict.fromkeys(range(61, 70), "accounts: challenges, tokens, rights"),
    **dict.fromkeys((76, 81, 82), "tests/clients: helm, oras, ggcr"),
    **dict.fromkeys((71, 79, 80, *range(84, 98)), "the classic view and the ChartMuseum API"),
    100: "immutability per namespace",
}
"""Cases that need what is built beside this, and what that is. One that has a test may still stand here."""
PARTLY_WAITING: Final = {
    23: "accounts: a mount from a private repository",
    58: "accounts: private repositories are hidden from the catalog",
    70: "the classic view: index.yaml and the ChartMuseum GET",
    72: "the classic view, for the same bytes",
    73: "the classic view, for its absence from index.yaml",
    77: "tests/clients: a pinned helm pull",
    78: "the classic view and tests/clients",
    98: "the classic view",
    103: "the classic view, for its own bytes",
    107: "the classic view: three of the four views are looked at",
    108: "the classic view: index.yaml",
}
"""Cases whose test covers all but this."""

_NAMED: Final = re.compile(r"test_cases?_((?:[0-9]+_(?:and_|to_)?)+)")


_SAID: Final = re.compile(r"\b[Cc]ases? ([0-9]+(?:(?:, | and )[0-9]+)*)")


def named(test: str) -> Iterator[int]:
    """The cases in a test's name."""
    found = _NAMED.match(test)
    words = found[1].strip("_").split("_") if found else []
    last = 0
    for at, word in enumerate(words):
        if word.isdecimal():
            yield from range(last + 1 if words[at - 1] == "to" else int(word), int(word) + 1)
            last = int(word)


def said(docstring: str) -> Iterator[int]:
    """The cases in a test's docstring."""
    for found in _SAID.finditer(docstring):
        yield from (int(number) for number in re.findall("[0-9]+", found[1]))


def numbers() -> Iterator[int]:
    """Those of all tests."""
    tests = Path(__file__).parents[2]
    for file in (file for folder in FOLDERS for file in (tests / folder).rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield from named(node.name)
                if "clients" in file.parts:
                    yield from said(ast.get_docstring(node) or "")


def test_names() -> None:
    assert list(named("test_case_4_post")) == [4]
    assert list(named("test_cases_7_8_and_12_pieces")) == [7, 8, 12]
    assert list(named("test_cases_9_to_11_out_of_order")) == [9, 10, 11]
    assert list(named("test_other")) == []
    assert list(said("As before. Case 81, and the same for case 71; cases 3, 4 and 5.")) == [81, 71, 3, 4, 5]


def test_each_case_is_a_test_or_waits_for_something() -> None:
    tested = set(numbers())
    assert tested | WAITING.keys() == set(CASES)
    assert tested >= PARTLY_WAITING.keys()
