import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.chart_version import (
    archive_path,
    chart_order,
    is_chart_version,
    is_stable,
    parse_chart_version,
    split_archive_name,
    version_of,
)
from cnr.domain.errors import InvalidRelease
from cnr.domain.names import Tag
from cnr.domain.version import tag_of

lenient = st.from_regex(
    r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,2}(-(0|[1-9][0-9]{0,2}|[a-z-]{1,3})(\.(0|[1-9]|[a-z]{1,2})){0,2})?(\+[0-9a-z-]{1,3})?",
    fullmatch=True,
)
names = st.from_regex(r"[a-z0-9]{1,3}((-|--|\.|_)[a-z0-9]{1,3}){0,3}", fullmatch=True)


@pytest.mark.parametrize("text", ["1", "1.2", "v1.2.3", "1.0-rc.1", "01.2.3", "1.0.0+a.b", "0.1", "v0"])
def test_what_helm_takes(text: str) -> None:
    assert parse_chart_version(text) == text
    assert is_chart_version(text)


@pytest.mark.parametrize(
    "text", ["", "v", "1.", "1.2.3.4", "V1", "1.0_a", "1.0.0-01", "1.0.0+", "1 ", "1\n", "latest", "1" * 20, "1.0/../x"]
)
def test_what_helm_does_not_take(text: str) -> None:
    with pytest.raises(InvalidRelease):
        parse_chart_version(text)
    with pytest.raises(InvalidRelease):
        chart_order(text)


def test_order() -> None:
    ascending = [
        "0.9",
        "v1-rc.1",
        "1.0.0",
        "1",
        "1.0",
        "v1.0.0",
        "1.0.0+a",
        "1.0.0+b",
        "1.2.3-a",
        "1.2.3",
        "v1.10",
        "2",
    ]
    assert sorted(ascending, key=chart_order) == ascending


@given(lenient, lenient)
def test_order_is_total(a: str, b: str) -> None:
    assert (chart_order(a) == chart_order(b)) == (a == b)


@given(lenient)
def test_tags_give_the_version_back(version: str) -> None:
    assert version_of(tag_of(parse_chart_version(version))) == version


def test_tags_that_are_no_version() -> None:
    assert version_of(Tag("latest")) is None
    assert version_of(Tag("sha256-" + "0" * 64)) is None


def test_stable() -> None:
    assert is_stable("1.0.0+a-b")
    assert not is_stable("1.0.0-a+b")


@given(names, lenient)
def test_an_archive_is_found_under_its_path(name: str, version: str) -> None:
    folder, *inner, file = archive_path(name, version).split("/")
    found = split_archive_name(file)
    assert folder == "charts"
    assert (name, version) in found
    assert inner == [] if found[0] == (name, version) else inner == [name]


def test_names_that_two_charts_could_have() -> None:
    assert split_archive_name("a-1.0.0-2.0.0.tgz") == [("a", "1.0.0-2.0.0"), ("a-1.0.0", "2.0.0")]
    # the strict version is preferred
    assert split_archive_name("a-1-2.0.0.tgz") == [("a-1", "2.0.0"), ("a", "1-2.0.0")]


@pytest.mark.parametrize("file", ["a.tgz", "a-1.0.0", "-1.0.0.tgz", "..-1.0.0.tgz", "a/b-1.0.0.tgz", "A-1.0.0.tgz", ""])
def test_names_that_are_no_archive(file: str) -> None:
    assert split_archive_name(file) == []


def test_paths_are_different_for_different_charts() -> None:
    parts = ["a", "1.0.0", "2.0.0", "b", "1"]
    charts = {
        (found[0], found[1])
        for length in range(2, 5)
        for words in itertools.product(parts, repeat=length)
        for found in split_archive_name("-".join(words) + ".tgz")
    }
    paths = [archive_path(*chart) for chart in charts]
    assert len(set(paths)) == len(paths)
