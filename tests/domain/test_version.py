import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semantic_version import Version

from cnr.domain.errors import InvalidName, InvalidQuery, InvalidRelease
from cnr.domain.names import parse_tag
from cnr.domain.version import (
    DEFAULT,
    Release,
    highest,
    is_release,
    lenient_key,
    lenient_of,
    order_key,
    parse_channel,
    parse_release,
    release_of,
    resolve,
    tag_of,
)

NUMBER = r"(0|[1-9][0-9]{0,9})"
PART = r"(0|[1-9][0-9]{0,6}|[0-9]{0,3}[A-Za-z-][0-9A-Za-z-]{0,4})"
SEMVER = (
    rf"{NUMBER}\.{NUMBER}\.{NUMBER}(-{PART}(\.{PART}){{0,3}})?(\+[0-9A-Za-z-]{{1,5}}(\.[0-9A-Za-z-]{{1,5}}){{0,2}})?"
)
releases = st.from_regex(re.compile(SEMVER, re.ASCII), fullmatch=True).map(Release)
close_releases = st.from_regex(r"[12]\.0\.[01](-(a|1|10|2|a-b|rc)(\.(a|0|2))?)?(\+[ab0])?", fullmatch=True).map(Release)

BAD = [
    *("", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.02.0", "1.0.0-", "1.0.0+", "1.0.0-01", "1.0.0-a..b"),
    *(" 1.0.0", "1.0.0 ", "1.0.0\n", "\n1.0.0", "1.0.0-rc_1", "1.0.0+a+b", "1.0.0/../../x", "1.0.0%00", "1.0.0\0"),
    *("\uff11.0.0", "1.0.\u0661", "1.0.0-\u00e9", "1.0.0\x1b[31m", "1.0.0-\u202e", "-1.0.0", "1.-1.0", "1e3.0.0"),
    *("latest", "default", ">=1.0.0", "1.0.0-" + "a" * 123, "1." * 5000 + "0", "9" * 5000 + ".0.0"),
]


@given(releases)
def test_what_semver_says_is_a_release(text: str) -> None:
    assert parse_release(text) == text
    assert is_release(text)
    assert Version(text)


@pytest.mark.parametrize("text", BAD)
def test_what_semver_does_not_say_is_none(text: str) -> None:
    assert not is_release(text)
    with pytest.raises(InvalidRelease) as caught:
        parse_release(text)
    assert len(caught.value.details["version"]) <= 128


@given(releases)
def test_a_release_and_its_tag_name_each_other(release: Release) -> None:
    tag = tag_of(release)
    assert parse_tag(tag) == tag
    assert release_of(tag) == release


@given(close_releases | releases, close_releases | releases)
def test_the_order_is_that_of_semver_then_build(one: Release, two: Release) -> None:
    a, b = Version(one), Version(two)
    if a.precedence_key[:-1] == b.precedence_key[:-1] and (a.build != b.build):
        assert (order_key(one) < order_key(two)) == (build_of(one) < build_of(two))
    else:
        assert (order_key(one) < order_key(two)) == (a < b)
    assert (order_key(one) == order_key(two)) == (one == two)


def build_of(release: str) -> str:
    return release.partition("+")[2]


def test_the_example_of_semver_is_in_order() -> None:
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ]
    ordered += ["1.0.0+a", "1.0.0+b", "1.0.1-0", "1.9.0", "1.10.0", "2.0.0", "10.0.0"]
    for one, two in itertools.pairwise(ordered):
        assert order_key(one) < order_key(two), (one, two)
    assert highest([Release(text) for text in ordered]) == "10.0.0"
    assert highest([]) is None


def test_only_releases_have_an_order() -> None:
    with pytest.raises(InvalidRelease):
        order_key("1.0")


@given(st.lists(close_releases, min_size=1, max_size=8, unique=True), st.data())
def test_an_exact_query_finds_its_release_and_default_the_highest(
    published: list[Release], draw: st.DataObject
) -> None:
    wanted = draw.draw(st.sampled_from(published))
    assert resolve(wanted, published) == wanted
    assert resolve(DEFAULT, published) == max(published, key=order_key)
    found = resolve(">=0.0.0", published)
    assert found == highest(release for release in published if "-" not in release.partition("+")[0])


@given(st.text(max_size=30) | st.text(alphabet="1.0^~<>=*|, -xabv+", max_size=16))
def test_any_query_is_answered_or_refused(query: str) -> None:
    try:
        assert resolve(query, [Release("1.0.0"), Release("1.1.0-rc")]) in (None, "1.0.0", "1.1.0-rc")
    except InvalidQuery as exc:
        assert len(exc.details["release"]) <= 1024  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    "query",
    [
        "",
        "latest",
        "Default",
        "v1.0.0",
        "((((a+)+)+)+$",
        "1.0.0\n",
        "\uff11.0.0",
        ">=" + "1" * 5000,
        "*" * 1_000_000,
        ">=1," * 300,
    ],
)
def test_queries_that_are_none(query: str) -> None:
    with pytest.raises(InvalidQuery):
        resolve(query, [Release("1.0.0")])


@pytest.mark.parametrize("text", ["stable", "5-5-beta", "1.0", "v1.0.0", "latest", "1", "_x", "1.0.0-", "x" * 128])
def test_channels(text: str) -> None:
    assert parse_channel(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "bad name!", ".hid", "1.0.0", "1.0.0_b", "1.0.0+b", "sha256-abc", "sha512-x", "a/b", "..", "x" * 129, "a\n"],
)
def test_channels_that_are_none(text: str) -> None:
    with pytest.raises(InvalidName, match="channel"):
        parse_channel(text)


@pytest.mark.parametrize("tag", ["v1.2", "1.0", "v1.2.3", "2", "v0", "1.0_b.1", "1.0-rc.1", "01.2.3"])
def test_versions_that_only_helm_takes(tag: str) -> None:
    assert lenient_of(tag) == tag.replace("_", "+")
    assert release_of(tag) is None


@pytest.mark.parametrize(
    "tag", ["1.2.3", "1.0.0_b", "latest", "v", "1.", ".1", "1.2.3.4", "1_", "V1.2", "1.0-", "x1.0"]
)
def test_what_is_no_such_version(tag: str) -> None:
    assert lenient_of(tag) is None


@given(st.from_regex(r"v?[0-2](\.[0-2]){0,2}(-(a|1|10))?(\+[ab])?", fullmatch=True))
def test_a_lenient_version_stands_right_behind_its_release(text: str) -> None:
    lenient = lenient_of(text.replace("+", "_"))
    if lenient is None:
        return
    core, *rest = re.split(r"(?=[-+])", text.removeprefix("v"), maxsplit=1)
    release = ".".join([*core.split("."), "0", "0"][:3]) + "".join(rest)
    assert order_key(release) < lenient_key(lenient)
    others = [
        f"{major}.{minor}.0{pre}{build}"
        for major in "012"
        for minor in "012"
        for pre in ("", "-a", "-1")
        for build in ("", "+a")
    ]
    for other in others:
        if other != release:
            assert (order_key(other) < order_key(release)) == (order_key(other) < lenient_key(lenient)), other
