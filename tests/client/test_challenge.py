"""Challenges, where tokens may be had, and who may get credentials."""

import pytest

from cnr.client.challenge import Challenge, is_local, may_have_credentials, parse_challenge, token_address
from cnr.client.errors import BadAnswer
from cnr.client.reference import parse_registry


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["Negotiate"], None),
        (["Basic realm=x"], Challenge("basic", "x")),
        (["basic"], Challenge("basic")),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"'],
            Challenge("bearer", "https://a/t", "s", "repository:a:pull,push"),
        ),
        (['Bearer  service=s , realm="https://a/t?x=basic"'], Challenge("bearer", "https://a/t?x=basic", "s")),
        (['Basic realm="b"', 'Bearer realm="https://a/t"'], Challenge("bearer", "https://a/t")),
        (['Basic realm="b", Bearer realm="https://a/t",error="x"'], Challenge("bearer", "https://a/t")),
        (["Bearer " + "x" * 100_000], Challenge("bearer")),
        ([', = "'], None),
    ],
)
def test_challenges(lines: list[str], expected: Challenge | None) -> None:
    assert parse_challenge(lines) == expected


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("example.com", "https://auth.example.net/token", True),
        ("example.com", "http://auth.example.com/token", False),
        ("http://example.com", "http://example.com/token", False),
        ("example.com", "https://127.0.0.1/token", False),
        ("example.com", "https://localhost/token", False),
        ("example.com", "https://169.254.169.254/latest/meta-data", False),
        ("example.com", "https://[::ffff:127.0.0.1]/", False),
        ("example.com", "https://user:pass@example.com/", False),
        ("example.com", "/token", False),
        ("example.com", "https://", False),
        ("localhost:5000", "http://127.0.0.1:5001/token", True),
        ("localhost:5000", "http://192.0.2.1/token", False),
        ("https://localhost:5000", "http://localhost:5000/token", False),
        ("https://localhost:5000", "https://localhost:5000/token", True),
    ],
)
def test_where_a_token_may_be_had(registry: str, realm: str, allowed: bool) -> None:
    challenge, address = Challenge("bearer", realm), parse_registry(registry)
    if allowed:
        assert str(token_address(challenge, address)) == realm
    else:
        with pytest.raises(BadAnswer):
            token_address(challenge, address)


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("http://example.com", "http://example.com/token", True),
        ("http://example.com", "http://EXAMPLE.com:5001/token", True),
        ("http://example.com", "http://auth.example.com/token", False),
        ("http://example.com", "http://user@example.com/token", False),
        ("http://169.254.169.254", "http://169.254.169.254/token", False),
        ("example.com", "http://example.com/token", False),
        ("example.com", "https://auth.example.net/token", True),
    ],
)
def test_where_a_token_may_be_had_without_care(registry: str, realm: str, allowed: bool) -> None:
    challenge, address = Challenge("bearer", realm), parse_registry(registry)
    if allowed:
        assert token_address(challenge, address, insecure=True)
    else:
        with pytest.raises(BadAnswer):
            token_address(challenge, address, insecure=True)


@pytest.mark.parametrize(
    ("registry", "host", "may"),
    [
        ("registry-1.docker.io", "auth.docker.io", True),
        ("registry.gitlab.com", "gitlab.com", True),
        ("ghcr.io", "ghcr.io", True),
        ("ghcr.io", "evil.io", False),
        ("example.com", "evil.com", False),
        ("example.com", "auth.example.com", True),
        ("registry.example.com", "registry.example.com.evil.net", False),
        ("registry.example.com", "evilexample.com", False),
        ("10.0.0.1", "20.0.0.1", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("localhost:5000", "127.0.0.1", True),
        ("example.com", "localhost", False),
    ],
)
def test_who_may_have_credentials(registry: str, host: str, may: bool) -> None:
    assert may_have_credentials(host, parse_registry(registry)) is may


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("localhost", True), ("LOCALHOST", True), ("x.localhost", True), ("127.9.9.9", True), ("::1", True)),
        *(("0.0.0.0", True), ("169.254.169.254", True), ("fe80::1", True), ("::ffff:127.0.0.1", True)),
        *(("example.com", False), ("10.0.0.1", False), ("192.0.2.1", False)),
    ],
)
def test_what_is_local(host: str, local: bool) -> None:
    assert is_local(host) is local
