"""The grammar of scopes. Source: distribution's token specification; contracts/oci-helm.md section 2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.auth.scopes import SCOPES_LIMIT, Scope, actions_in, is_catalog, parse_scopes, repository_of
from cnr.domain.names import Repository


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("repository:a/b:pull", [Scope("repository", "a/b", ("pull",))]),
        ("repository:h:5000/a/b:pull,push", [Scope("repository", "h:5000/a/b", ("pull", "push"))]),
        ("repository(plugin):a/b:pull", [Scope("repository", "a/b", ("pull",))]),
        ("repository:a/b:pull,pull registry:catalog:*", None),
        ("", []),
        ("repository", []),
        ("repository:a/b", []),
        ("repository::pull", []),
        ("repository:a/b:", []),
        (":::", None),
    ],
)
def test_scopes(text: str, wanted: list[Scope] | None) -> None:
    found = parse_scopes([text])
    assert wanted is None or found == wanted


@given(st.lists(st.text(), max_size=5))
def test_any_text_is_read(texts: list[str]) -> None:
    for scope in parse_scopes(texts):
        assert scope.name
        assert scope.actions
        repository_of(scope)


def test_there_is_a_limit() -> None:
    assert len(parse_scopes(["repository:a/b:pull " * 1000])) == SCOPES_LIMIT


def test_what_scopes_allow() -> None:
    scopes = parse_scopes(["repository:a/b:pull,push registry:catalog:*", "repository:a/bc:delete other:a/b:delete"])
    assert actions_in(scopes, Repository("a/b")) == {"pull", "push"}
    assert actions_in(scopes, Repository("a")) == frozenset()
    assert [is_catalog(scope) for scope in scopes] == [False, True, False, False]
