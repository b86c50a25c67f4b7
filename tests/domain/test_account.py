"""Rights by roles and by scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain import account
from cnr.domain.account import ALL, NONE, ROLES, Path, ScopePath, beginnings, granted, parse_scope, reached
from cnr.domain.errors import InvalidName, InvalidUsage

NAMES = st.sampled_from(["a", "b", "ab", "a-b"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(PATHS)
def test_beginnings(path: str) -> None:
    parts = path.split("/")
    assert list(beginnings(path)) == ["/".join(parts[: count + 1]) for count in range(len(parts))]


@given(st.dictionaries(PATHS.map(Path), st.sampled_from(sorted(ROLES)), max_size=5), PATHS)
def test_a_role_holds_at_its_path_and_below(grants: dict[Path, account.Role], path: str) -> None:
    """Against the slow way: every role whose path is this one, or one that ends before a slash of it."""
    wanted = NONE.union(*(ROLES[role] for at, role in grants.items() if f"{path}/".startswith(f"{at}/")))
    assert granted(grants, path) == wanted


@given(PATHS, PATHS)
def test_what_a_scope_reaches(scope: str, path: str) -> None:
    below = reached({ScopePath(f"{scope}/*"): ("pull",)}, path)
    namespace_itself = path == scope and "/" not in path
    assert bool(below) == (path.startswith(f"{scope}/") or namespace_itself)
    if "/" in scope:
        exact = reached({ScopePath(scope): ("push",)}, path)
        assert bool(exact) == ("/" in path and f"{path}/".startswith(f"{scope}/"))


def test_roles_grow() -> None:
    assert NONE < ROLES["reader"] < ROLES["writer"] < ROLES["maintainer"] < ROLES["admin"] == ALL


@pytest.mark.parametrize("text", ["a/*", "a/b", "a/b/*", "a/b/c"])
def test_scopes(text: str) -> None:
    assert parse_scope(text) == text


@pytest.mark.parametrize("text", ["", "*", "/*", "a", "a/", "a/**", "a/*/b", "A/*", "a/*/*", "../*", "a/b*"])
def test_scopes_that_are_none(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_scope(text)


@pytest.mark.parametrize("words", [[], ["own"], ["pull", "own"], ["PULL"], [""]])
def test_rights_that_are_none(words: list[str]) -> None:
    with pytest.raises(InvalidUsage):
        account.parse_rights(words)
