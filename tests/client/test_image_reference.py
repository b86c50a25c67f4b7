"""References by OCI's rules."""

import pytest

from cnr.client.errors import InvalidReference
from cnr.client.image_reference import parse_image

SHA256 = "sha256:" + "a" * 64
SHA512 = "sha512:" + "b" * 128


@pytest.mark.parametrize(
    ("text", "url", "repository", "tag", "digest"),
    [
        ("localhost:5000/a", "http://localhost:5000", "a", None, None),
        ("127.0.0.1/a/b/c/d:v1", "http://127.0.0.1", "a/b/c/d", "v1", None),
        ("example.com/a/b:1.0.0+b.1", "https://example.com", "a/b", "1.0.0_b.1", None),
        ("http://example.com:80/a:T", "http://example.com:80", "a", "T", None),
        (f"example.com/a/b@{SHA256}", "https://example.com", "a/b", None, SHA256),
        (f"example.com/a/b:t@{SHA512}", "https://example.com", "a/b", "t", SHA512),
        ("example.com/a/b@1.2.3+x", "https://example.com", "a/b", "1.2.3_x", None),
        ("[::1]:5000/a:t", "http://[::1]:5000", "a", "t", None),
        ("docker.io/redis:7", "https://registry-1.docker.io", "library/redis", "7", None),
        ("docker.io/grafana/loki", "https://registry-1.docker.io", "grafana/loki", None, None),
    ],
)
def test_what_a_reference_says(text: str, url: str, repository: str, tag: str | None, digest: str | None) -> None:
    found = parse_image(text)
    assert (found.registry.url, found.repository, found.tag, found.digest) == (url, repository, tag, digest)
    assert found.selector == (digest or tag)
    assert found.manifest == (digest or tag or "latest")


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "host/", "host/A", "host/a//b", "host/a:", "host/a@", "host/a:-x", "host/a:b:c", "host/../a"),
        *("host/a@sha256:short", f"host/a@{SHA256.upper()}", f"host/a:@{SHA256}", "user:secret@host/a", "ftp://host/a"),
        *("host/a:" + "x" * 129, "host/" + "x" * 201, "host/a b", "host/a:\x1b[0m", "host/a@^1.2"),
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidReference) as raised:
        parse_image(text)
    assert "secret" not in str(raised.value)
