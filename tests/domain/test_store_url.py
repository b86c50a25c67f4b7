import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.store_url import Host, StoreUrl, without_secrets


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://h", StoreUrl("redis", (Host("h"),))),
        ("REDIS://u:p@h:1/0", StoreUrl("redis", (Host("h", 1),), "/0", "u", "p")),
        ("redis://:p%40%2F@[::1]:1", StoreUrl("redis", (Host("::1", 1),), "", "", "p@/")),
        (
            "etcd://a:1,b,[::2]/x/y?k=v&l=",
            StoreUrl("etcd", (Host("a", 1), Host("b"), Host("::2")), "/x/y", query={"k": "v", "l": ""}),
        ),
        ("file:///a%20b", StoreUrl("file", (), "/a b")),
    ],
)
def test_parsed(text: str, url: StoreUrl) -> None:
    assert StoreUrl.parse(text) == url


@pytest.mark.parametrize(
    "text", ["", "h", "://h", "1x://h", "redis://h:99999", "redis://h:x", "redis://a b:c:d", "redis://[x"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        StoreUrl.parse(text)


@given(st.text(), st.text(alphabet="abc@/:?#% ", min_size=1))
def test_parsing_never_fails_otherwise_and_shows_no_secret(user: str, secret: str) -> None:
    secret = f"S{secret}S"
    text = f"redis://{user}:{secret}@host/0?password={secret}"
    assert secret not in without_secrets(text)
    shown = ""
    try:
        url = StoreUrl.parse(text)
        shown = f"{url} {url!r}" if url.password == secret else ""
    except ValueError as exc:
        shown = str(exc)
    assert secret not in shown


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b.example", "::1"]), st.none() | st.integers(0, 65535)), min_size=1),
    st.text(),
)
def test_what_is_shown_can_be_parsed(hosts: list[tuple[str, int | None]], path: str) -> None:
    url = StoreUrl("redis", tuple(Host(*host) for host in hosts), f"/{path}" if path.isprintable() else "")
    assert StoreUrl.parse(str(url)) == url
