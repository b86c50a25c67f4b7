import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.digest import Digest, parse_digest, parse_tar_digest, sha256, verified
from cnr.domain.errors import InvalidDigest

HEX = "0123456789abcdef" * 4


@given(st.binary(max_size=500), st.integers(1, 99))
def test_verified_passes_what_has_the_digest_and_nothing_else(data: bytes, size: int) -> None:
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    for digest in (sha256(data), Digest("sha512:" + hashlib.sha512(data).hexdigest())):
        assert parse_digest(digest) == digest
        assert b"".join(verified(chunks, digest)) == data
        with pytest.raises(InvalidDigest):
            list(verified([*chunks, b"x"], digest))


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha512:{HEX}{HEX}"])
def test_digests(text: str) -> None:
    assert parse_digest(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "..", "sha256:", "sha256:..", "md5:" + HEX[:32], "sha256:baddigeststring", f"sha256-{HEX}", HEX),
        *(f"sha256:{HEX[:63]}", f"sha256:{HEX}0", f"sha512:{HEX}", f"sha256:{HEX.upper()}", f"SHA256:{HEX}"),
        *(
            f"sha256:{HEX}\n",
            f" sha256:{HEX}",
            f"sha256:{HEX[:63]}/",
            "sha256:" + "\uff10" * 64,
            "sha256:" + "\u0661" * 64,
        ),
        "sha256:" + "a" * 1_000_000,
    ],
)
def test_digests_that_are_none(text: str) -> None:
    with pytest.raises(InvalidDigest) as caught:
        parse_digest(text)
    assert len(str(caught.value.details)) < 500


@pytest.mark.parametrize("text", [HEX, HEX.upper(), f"sha256:{HEX}"])
def test_tar_digests(text: str) -> None:
    assert parse_tar_digest(text) == HEX


@pytest.mark.parametrize(
    "text", ["", "12345", HEX[:63], HEX + "0", f"sha512:{HEX}", f"{HEX}\n", "..%2f" + HEX, "\u0130" * 64]
)
def test_tar_digests_that_are_none(text: str) -> None:
    with pytest.raises(InvalidDigest):
        parse_tar_digest(text)
