"""Pages of lists: what `limit` and `after` may be."""

import pytest

from cnr.api.cnr_fields import Page, page, rank
from cnr.domain.errors import InvalidUsage


@pytest.mark.parametrize(("limit", "expected"), [("1", 1), (1000, 1000), ("010", 10)])
def test_a_limit(limit: object, expected: int) -> None:
    assert page({"limit": limit, "after": "a/b"}) == Page(expected, "a/b")


def test_without_a_limit() -> None:
    assert (page({}), page({}, default=20), page({"limit": None})) == (Page(None, ""), Page(20, ""), Page(None, ""))


@pytest.mark.parametrize("limit", ["", "0", "1001", "-1", "1.0", "abc", "\u0661", " 1", "9" * 1000, True, [1]])
def test_what_is_no_limit(limit: object) -> None:
    with pytest.raises(InvalidUsage):
        page({"limit": limit})


def test_a_place_in_a_ranked_search() -> None:
    assert rank("900.0,ns/a,b") == (900.0, "ns/a,b")
    assert rank("") is None


@pytest.mark.parametrize(
    "after", ["nan,a/b", "inf,a/b", "-1,a/b", "1e9,a/b", "1_0,a/b", "\u0661,a/b", "1", ",a/b", "a/b"]
)
def test_what_is_no_such_place(after: str) -> None:
    with pytest.raises(InvalidUsage):
        rank(after)
