"""References: what they mean, and what is refused with which sentence."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.client.errors import InvalidReference
from cnr.client.reference import (
    AtChannel,
    AtDigest,
    AtRelease,
    RegistryAddress,
    Target,
    parse_namespace,
    parse_reference,
    parse_registry,
    parse_selector,
    parse_target,
)
from cnr.domain.digest import TarDigest
from cnr.domain.names import Channel, PackageName

DIGEST = "72ed15c9a65961ecd034cca098ec18eb99002cd402824aae8a674a8ae41bd0ef"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost", "http://localhost"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.9.9.9", "http://127.9.9.9"),
        ("[::1]:80", "http://[::1]:80"),
        ("quay.io", "https://quay.io"),
        ("Quay.IO/", "https://quay.io"),
        ("registry_1:443", "https://registry_1:443"),
        ("10.0.0.1", "https://10.0.0.1"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("127.example.com", "https://127.example.com"),
        ("localhost.example.com", "https://localhost.example.com"),
        ("https://localhost:5000", "https://localhost:5000"),
        ("HTTP://quay.io:8080", "http://quay.io:8080"),
    ],
)
def test_scheme_is_http_only_for_this_machine_unless_given(text: str, url: str) -> None:
    assert parse_registry(text).url == url


@pytest.mark.parametrize(
    ("rest", "selector"),
    [
        ("", None),
        (":stable", AtChannel(Channel("stable"))),
        (":5-5-beta", AtChannel(Channel("5-5-beta"))),
        ("@1.2.3", AtRelease("1.2.3")),
        ("@1.2.3-rc.1+b-1", AtRelease("1.2.3-rc.1+b-1")),
        ("@default", AtRelease("default")),
        ("@^1.2", AtRelease("^1.2")),
        ("@>=1.0,<2.0", AtRelease(">=1.0,<2.0")),
        ("@*", AtRelease("*")),
        (f"@sha256:{DIGEST}", AtDigest(TarDigest(DIGEST))),
        (f"@sha256:{DIGEST.upper()}", AtDigest(TarDigest(DIGEST))),
    ],
)
def test_selectors(rest: str, selector: object) -> None:
    reference = parse_reference(f"localhost:5000/my.ns/app{rest}")
    assert reference.registry == RegistryAddress("http", "localhost", 5000)
    assert reference.package == PackageName("my.ns", "app")
    assert reference.selector == selector


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is not the address of a registry: HOST or HOST:PORT is needed"),
        ("localhost", "'localhost' must be HOST[:PORT]/namespace/name[:channel or @release]"),
        ("localhost/ns", "'localhost/ns' must be HOST[:PORT]/namespace/name[:channel or @release]"),
        ("localhost/a/b/c", "'localhost/a/b/c' must be HOST[:PORT]/namespace/name[:channel or @release]"),
        ("localhost//b", "'localhost//b' must be HOST[:PORT]/namespace/name[:channel or @release]"),
        ("local host/a/b", "'local host' is not the address of a registry: HOST or HOST:PORT is needed"),
        ("h:0/a/b", "'h:0': a port is a number from 1 to 65535"),
        ("h:65536/a/b", "'h:65536': a port is a number from 1 to 65535"),
        ("h:99999999999999/a/b", "'h:99999999999999': a port is a number from 1 to 65535"),
        ("h:x/a/b", "'h:x' is not the address of a registry: HOST or HOST:PORT is needed"),
        ("[::g]/a/b", "'[::g]' is not the address of a registry: HOST or HOST:PORT is needed"),
        ("[1:2]/a/b", "'[1:2]' is not the address of a registry: HOST or HOST:PORT is needed"),
        ("a..b/a/b", "'a..b' is not the address of a registry: HOST or HOST:PORT is needed"),
        ("ftp://h/a/b", "'ftp://h/a/b': the scheme must be http or https"),
        ("h/NS/app", "'h/NS/app': the namespace 'NS' has upper-case letters: use 'ns'"),
        ("h/ns/app:1.0.0", "'h/ns/app:1.0.0': '1.0.0' is a version: a channel needs a name that is none"),
        (
            "h/ns/app@latest",
            "'h/ns/app@latest': not a version or range: try 1.2.3, ^1.2, '>=1.0,<2.0', * or default",
        ),
        (
            "h/ns/app@sha256:12",
            "'h/ns/app@sha256:12': a package digest is 64 hex digits (sha256 of the uncompressed tar)",
        ),
        ("h/ns/\x1b[31m", "'h/ns/\\x1b[31m': the name '\\x1b[31m' must be lower-case letters"),
    ],
)
def test_refusals_name_the_rule(text: str, sentence: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("text", ["user:secret@h/ns/app", "https://user:secret@h/ns/app", "secret@h"])
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    for parse in (parse_reference, parse_target, parse_registry, parse_namespace):
        with pytest.raises(InvalidReference, match="CNR_TOKEN") as caught:
            parse(text)
        assert "secret" not in str(caught.value)


HOST = RegistryAddress("http", "localhost")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("localhost", Target(HOST)),
        ("localhost/", Target(HOST)),
        ("localhost/ns", Target(HOST, "ns")),
        ("localhost/ns/app", Target(HOST, "ns", "app")),
        ("localhost/ns/app@1.0.0+b", Target(HOST, "ns", "app", "1.0.0+b")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["localhost/a/b/c", "localhost/a/b:stable", "localhost/a@1.0.0", "localhost/a/b@"])
def test_targets_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidReference, match="must be HOST"):
        parse_target(text)


def test_a_registry_has_no_path() -> None:
    with pytest.raises(InvalidReference, match="address of a registry only"):
        parse_registry("localhost/ns")
    assert parse_namespace("localhost/ns") == (HOST, "ns")
    with pytest.raises(InvalidReference, match="HOST"):
        parse_namespace("localhost/ns/app")


def test_selectors_of_the_version_option() -> None:
    assert parse_selector(":stable") == AtChannel(Channel("stable"))
    assert parse_selector("@1.0.0") == parse_selector("1.0.0") == AtRelease("1.0.0")
    assert parse_selector(f"sha256:{DIGEST}") == AtDigest(TarDigest(DIGEST))


COMPONENT = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,3}", fullmatch=True)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
RELEASE = st.from_regex(r"[1-9][0-9]{0,3}\.0\.[1-9](-rc\.[1-9])?(\+[a-z0-9]{1,5})?", fullmatch=True)
CHANNEL = st.from_regex(r"[a-z_][a-zA-Z0-9._-]{0,20}", fullmatch=True).filter(lambda text: "sha" not in text)


@given(
    scheme=st.sampled_from(["", "http://", "https://"]),
    host=st.lists(LABEL, min_size=1, max_size=3).map(".".join),
    port=st.none() | st.integers(1, 65535),
    package=st.tuples(COMPONENT, COMPONENT),
    rest=st.just("") | RELEASE.map("@{}".format) | CHANNEL.map(":{}".format),
)
def test_every_reference_comes_back_as_its_parts(
    scheme: str, host: str, port: int | None, package: tuple[str, str], rest: str
) -> None:
    authority = host if port is None else f"{host}:{port}"
    reference = parse_reference(f"{scheme}{authority}/{package[0]}/{package[1]}{rest}")
    assert str(reference.registry) == authority
    assert not scheme or reference.registry.url == scheme + authority
    assert (reference.package.namespace, reference.package.name) == package
    shown = {AtRelease: "@", AtChannel: ":"}
    match reference.selector:
        case None:
            assert rest == ""
        case AtRelease(query):
            assert shown[AtRelease] + query == rest
        case AtChannel(channel):
            assert shown[AtChannel] + channel == rest


@given(st.text(max_size=80) | st.text("abh/:@.[]1-_+\x00é\n", max_size=40))
def test_any_text_is_a_reference_or_refused_in_one_printable_line(text: str) -> None:
    for parse in (parse_reference, parse_target, parse_registry, parse_namespace):
        assert refusal(parse, text).isprintable()


def refusal(parse: Callable[[str], object], text: str) -> str:
    try:
        parse(text)
    except InvalidReference as exc:
        return str(exc)
    return ""
