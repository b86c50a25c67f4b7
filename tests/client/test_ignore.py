"""Ignore files: helm's documented examples, its negation, and its refusals."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.client.errors import InvalidPackage
from cnr.client.ignore import IgnoreRules


def ignored(rules: str, path: str) -> bool:
    return IgnoreRules.parse(rules.split("\n")).ignores(path.removesuffix("/"), is_directory=path.endswith("/"))


@pytest.mark.parametrize(
    ("rule", "left_out", "kept"),
    [
        # The example file of helm.sh, "The .helmignore file", with its own words for each rule.
        (".helmignore", [".helmignore", "sub/.helmignore"], ["helmignore", ".helmignore.bak"]),
        (".git", [".git", ".git/", "charts/x/.git/"], [".gitignore", "git"]),
        ("*.txt", ["a.txt", "sub/deep/b.txt", ".txt", "dir.txt/"], ["a.txt.bak", "txt"]),
        ("mydir/", ["mydir/", "sub/mydir/"], ["mydir", "mydir2/"]),
        ("/*.txt", ["a.txt"], ["sub/a.txt", "a.text"]),
        ("/foo.txt", ["foo.txt"], ["sub/foo.txt"]),
        ("a[b-d].txt", ["ab.txt", "ac.txt", "ad.txt", "sub/ac.txt"], ["aa.txt", "ae.txt", "abc.txt"]),
        ("*/temp*", ["sub/temp", "sub/template.yaml"], ["temp", "temporary", "a/b/temp"]),
        ("*/*/temp*", ["a/b/temp1"], ["a/temp1", "a/b/c/temp1", "temp1"]),
        ("temp?", ["temp1", "sub/tempx"], ["temp", "temp12"]),
        # Comments, blanks and spaces around a pattern.
        ("# *.txt", [], ["a.txt", "# a.txt"]),
        ("   ", [], ["a", " "]),
        ("  *.md \t", ["README.md"], ["README.txt"]),
        # Go's filepath.Match.
        ("templates/.?*", ["templates/.hidden"], ["templates/.", "templates/a", "templates/sub/.hidden"]),
        ("[^a].txt", ["b.txt"], ["a.txt", "/.txt"]),
        (r"\*.txt", ["*.txt"], ["a.txt"]),
        (r"[\]a].x", ["].x", "a.x"], ["b.x"]),
        (r"[a\-c].x", ["a.x", "-.x", "c.x"], ["b.x"]),
        ("cargo/*.*", ["cargo/a.txt"], ["cargo/a", "mast/a.txt"]),
        ("ru[c-e]?er.txt", ["rudder.txt"], ["ruder.txt"]),
        ("{a,b}.$(x)", ["{a,b}.$(x)"], ["a.$(x)"]),
    ],
)
def test_rules(rule: str, left_out: list[str], kept: list[str]) -> None:
    assert [path for path in left_out if not ignored(rule, path)] == []
    assert [path for path in kept if ignored(rule, path)] == []


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("!keep.txt", "keep.txt", False),
        ("!keep.txt", "other.txt", True),
        ("!*.txt", "folder/", True),
        ("!folder/", "folder/", False),
        ("!folder/", "other/", True),
        ("!folder/", "file", True),
    ],
)
def test_negation_ignores_what_does_not_match(rule: str, path: str, expected: bool) -> None:
    assert ignored(rule, path) is expected


def test_the_first_rule_that_ignores_ends_it() -> None:
    assert ignored("a.txt\n!a.txt", "a.txt")
    assert not ignored("!a.txt\nb.txt", "a.txt")


@pytest.mark.parametrize("rule", ["foo/**/bar", "**", "[z-", "[a", "[]", "a\\", "[c-a]", "[-a]"])
def test_rules_that_are_refused(rule: str) -> None:
    with pytest.raises(InvalidPackage, match=re.escape(repr(rule))):
        IgnoreRules.parse([rule])


@given(st.text("ab*?[]^-\\/!#. \t", max_size=12), st.text("ab/.-^", min_size=1, max_size=8))
def test_any_rule_is_understood_or_refused(rule: str, path: str) -> None:
    try:
        rules = IgnoreRules.parse([rule])
    except InvalidPackage:
        return
    rules.ignores(path, is_directory=False)


@given(st.text("abc.", min_size=1, max_size=6), st.text("abc.", min_size=1, max_size=6))
def test_a_pattern_without_metacharacters_is_equality(pattern: str, name: str) -> None:
    assert ignored(pattern, name) is (pattern == name)
