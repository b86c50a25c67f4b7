import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.helm.client import provenance

from cnr.domain.errors import InvalidArchive
from cnr.domain.provenance import PROVENANCE_LIMIT, parse_provenance

DATA = b"an archive"
GOOD = provenance("app", "1.0.0+b", DATA)


def test_what_it_is_about() -> None:
    found = parse_provenance(GOOD)
    assert (found.name, found.version, found.data) == ("app", "1.0.0+b", GOOD)
    assert found.digest == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert parse_provenance(GOOD.replace(b"\n", b"\r\n")).digest == found.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"BEGIN PGP SIGNED", b"BEGIN PGP"),
        (b"-----END PGP SIGNATURE-----", b""),
        (b"...\n", b""),
        (b"...\n", b"...\n...\n"),
        (b"name: app", b"name: [app]"),
        (b"name: app", b"nam: app"),
        (b"version: 1.0.0+b", b"version: x"),
        (b"sha256:", b"md5:"),
        (b"sha256:", b"sha256:../"),
        (b"app-1.0.0+b.tgz:", b"../app-1.0.0+b.tgz:"),
        (b"files:", b"files: {}\nx:"),
        (b"  app-", b"  other.tgz: x\n  app-"),
        (b"files:", b"files: &a [*a]\nx:"),
        (b"apiVersion: v2", b"apiVersion: !!python/object:os.system x"),
    ],
)
def test_what_is_none(old: bytes, new: bytes) -> None:
    assert old in GOOD
    with pytest.raises(InvalidArchive):
        parse_provenance(GOOD.replace(old, new, 1))


@pytest.mark.parametrize("data", [b"", b"x" * (PROVENANCE_LIMIT + 1), b"\xff" * 100, GOOD + b"trailing"])
def test_what_is_no_signed_text(data: bytes) -> None:
    with pytest.raises(InvalidArchive):
        parse_provenance(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidArchive):
        parse_provenance(GOOD[:60] + data + GOOD[-60:])
