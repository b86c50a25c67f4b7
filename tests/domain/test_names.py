import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.errors import InvalidName
from cnr.domain.names import (
    COMPONENT_LIMIT,
    RESERVED,
    Format,
    PackageName,
    Repository,
    parse_format,
    parse_repository,
    parse_tag,
)

COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
components = st.from_regex(re.compile(COMPONENT, re.ASCII), fullmatch=True).filter(lambda text: len(text) <= 90)

HOSTILE = [
    "",
    ".",
    "..",
    "a/../b",
    "../x",
    "%2e%2e",
    "%2f",
    "a b",
    "a:b",
    "a\\b",
    "a\0b",
    "a\n",
    "\na",
    "\x1b[31m",
    "é",
    "a\u2024b",
    "\uff41",
    "\u0661",
    "a\u202eb",
    "\ud800",
    "x" * 300,
    "-a",
    "a-",
    "_a",
    "a_",
    ".a",
    "a.",
    "a..b",
    "a___b",
    "a._b",
    "a//b",
    "/a",
    "a/",
    "A",
    "CON",
]


@given(components, components)
def test_the_grammar_is_that_of_oci_repositories(namespace: str, name: str) -> None:
    package = PackageName.parse(namespace, name)
    assert str(package) == f"{namespace}/{name}"
    assert PackageName.of(package.repository) == package
    assert parse_repository(package.repository) == package.repository


@given(st.text(alphabet="ab0._-/A", max_size=10))
def test_a_repository_is_accepted_exactly_when_the_grammar_says_so(text: str) -> None:
    matches = re.fullmatch(rf"{COMPONENT}(/{COMPONENT})*", text) is not None
    try:
        assert parse_repository(text) == text
        assert matches
    except InvalidName:
        assert not matches


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_refused_everywhere(text: str) -> None:
    for namespace, name in ((text, "app"), ("ns", text)):
        with pytest.raises(InvalidName):
            PackageName.parse(namespace, name)
    with pytest.raises(InvalidName):
        parse_repository(f"ns/{text}/app")


@pytest.mark.parametrize(
    "text", ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a.b_c__d-e", "con", "x" * COMPONENT_LIMIT]
)
def test_odd_but_good_names(text: str) -> None:
    assert PackageName.parse("ns", text).name == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [("Upper", "use 'upper'"), ("x" * 129, "longer than 128"), ("a..b", "separated by single")],
)
def test_the_message_says_the_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidName, match=rule):
        PackageName.parse("ns", text)


def test_the_whole_name_has_a_limit() -> None:
    assert PackageName.parse("n" * 99, "a" * 100)
    with pytest.raises(InvalidName, match="longer than 200"):
        PackageName.parse("n" * 100, "a" * 100)
    assert parse_repository("/".join(["a" * 99, "b" * 100]))
    with pytest.raises(InvalidName, match="longer than 200"):
        parse_repository("a/" * 100 + "a")


@pytest.mark.parametrize("text", ["a" * 100_000 + "!", "a-" * 100_000, "a." * 50_000 + "..", "-" * 100_000])
def test_long_names_are_refused_at_once(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        PackageName.parse("ns", text)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("namespace", sorted(RESERVED))
def test_reserved_namespaces_can_be_read_but_not_written(namespace: str) -> None:
    package = PackageName.parse(namespace, "app")
    with pytest.raises(InvalidName, match="reserved"):
        package.writable()
    assert PackageName.parse("ns", namespace).writable().name == namespace


def test_library_is_the_repository_of_one_component() -> None:
    assert PackageName("library", "app").repository == "app"
    assert PackageName.of(Repository("app")) == PackageName("library", "app")
    assert PackageName.of(Repository("a/b/c")) is None


@pytest.mark.parametrize("token", ["helm", "kpm", "docker-compose", "kpm-compose", "dab", "HELM", "a_b", "0", "x" * 64])
def test_formats_and_their_media_types(token: str) -> None:
    assert parse_format(token) == Format(token)
    for vendor in ("cnr", "appr"):
        for version in ("v0", "v1", "v12"):
            assert parse_format(f"application/vnd.{vendor}.package-manifest.{token}.{version}.json") == token
            assert parse_format(f"application/vnd.{vendor}.package.{token}.{version}.tar+gzip") == token


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "_", "a.b", "a/b", "../x", "helm ", "helm\n", "é", "\uff41", "x" * 65, "%68elm"),
        "application/vnd.cnr.package-manifest..v1.json",
        "application/vnd.cnr.package-manifest.a.b.v1.json",
        "application/vnd.cnr.package-manifest.-.v1.json",
        "application/vnd.other.package-manifest.helm.v1.json",
        "application/vnd.cnr.package-manifest.helm.v1.json\n",
        "application/vnd.cnr.package-manifest." + "." * 50_000,
    ],
)
def test_formats_that_are_none(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_format(text)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("text", ["latest", "1.0.0", "_", "A.b-c_", "1.0.0_b.1", "x" * 128])
def test_tags(text: str) -> None:
    assert parse_tag(text) == text


@pytest.mark.parametrize("text", ["", ".a", "-a", "a+b", "a/b", "a:b", "a\n", "é", "x" * 129, "\u0661"])
def test_tags_that_are_none(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_tag(text)
