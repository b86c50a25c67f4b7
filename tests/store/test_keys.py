import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.names import Repository, Tag, parse_repository, parse_tag
from cnr.store import keys

COMPONENT = r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}"
repositories = st.from_regex(re.compile(rf"{COMPONENT}(/{COMPONENT}){{0,4}}", re.ASCII), fullmatch=True).map(
    parse_repository
)
tags = st.from_regex(re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII), fullmatch=True).map(parse_tag)
hexes = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
digests = hexes.map(lambda text: Digest(f"sha256:{text}"))


@settings(deadline=None)
@given(repositories, tags, digests, digests, hexes)
def test_every_key_of_a_repository_splits_into_what_it_was_made_of(
    repository: Repository, tag: Tag, digest: Digest, subject: Digest, tar: str
) -> None:
    assert keys.split(keys.repo(repository)) == ("repos", repository, "")
    assert keys.split(keys.policy(repository)) == ("policy", repository, "")
    assert keys.split(keys.tag(repository, tag)) == ("tags", repository, tag)
    assert keys.split(keys.manifest(repository, digest)) == ("manifests", repository, digest)
    assert keys.split(keys.blob(repository, digest)) == ("blobs", repository, digest)
    assert keys.split(keys.contents(repository, TarDigest(tar))) == ("contents", repository, tar)
    found = keys.split(keys.referrer(repository, subject, digest))
    assert found == ("referrers", repository, f"{subject}/{digest}")


@settings(deadline=None)
@given(repositories, repositories, tags, tags, digests, digests)
def test_keys_are_equal_only_for_equal_things_and_are_ascii(
    one: Repository, two: Repository, a: Tag, b: Tag, digest: Digest, subject: Digest
) -> None:
    assert (keys.tag(one, a) == keys.tag(two, b)) == ((one, a) == (two, b))
    for key in (keys.tag(one, a), keys.repo(one), keys.blob(one, digest), keys.referrer(one, subject, digest)):
        assert key.isascii()
        assert key.isprintable()
        assert len(key) <= 512


@settings(deadline=None)
@given(repositories, repositories, tags, digests, digests)
def test_a_prefix_holds_the_keys_of_its_repository_and_of_no_other(
    one: Repository, two: Repository, tag: Tag, digest: Digest, subject: Digest
) -> None:
    for prefix, key in (
        (keys.tags(one), keys.tag(two, tag)),
        (keys.manifests(one), keys.manifest(two, digest)),
        (keys.referrers(one, subject), keys.referrer(two, subject, digest)),
    ):
        assert key.startswith(prefix) == (one == two)


@pytest.mark.parametrize(
    "key", ["", "tags", "tags/", "uploads/x", "chunks/x/00000001", "meta/format", "other/a/b", "/a/b"]
)
def test_other_keys_belong_to_no_repository(key: str) -> None:
    with pytest.raises(ValueError, match="not a repository's key"):
        keys.split(key)


def test_chunks_of_a_blob_are_in_order() -> None:
    numbers = [0, 9, 10, 99, 100, 65536, 99_999_999]
    made = [keys.chunk("id", number) for number in numbers]
    assert made == sorted(made)
