import contextlib
import gzip
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.errors import InvalidArchive, TooLarge
from cnr.domain.gunzip import PIECE_BYTES, gunzip


def unpack(*chunks: bytes, member_limit: int = 100) -> bytes:
    return b"".join(gunzip(chunks, member_limit=member_limit))


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), st.integers(0, 40), st.integers(1, 700))
def test_unpacks_members_and_padding_cut_anywhere(parts: list[bytes], padding: int, size: int) -> None:
    packed = bytes(padding).join(gzip.compress(part, mtime=0) for part in parts) + bytes(padding)
    assert unpack(*(packed[at : at + size] for at in range(0, len(packed), size))) == b"".join(parts)


@given(st.binary(min_size=1, max_size=500), st.data())
def test_every_truncation_is_refused(data: bytes, draw: st.DataObject) -> None:
    packed = gzip.compress(data, mtime=0)
    with pytest.raises(InvalidArchive):
        unpack(packed[: draw.draw(st.integers(0, len(packed) - 1))])


@given(st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_refused(data: bytes) -> None:
    for chunk in (data, b"\x1f\x8b\x08" + data, gzip.compress(b"x", mtime=0) + data):
        with contextlib.suppress(InvalidArchive, TooLarge):
            unpack(chunk)


@pytest.mark.parametrize("junk", [b"junk", b"\0\0junk", b"\x1f", b"\x1f\x8b\x08\x00"])
def test_junk_behind_is_refused(junk: bytes) -> None:
    with pytest.raises(InvalidArchive):
        unpack(gzip.compress(b"data", mtime=0) + junk)


def test_padding_before_is_refused() -> None:
    with pytest.raises(InvalidArchive):
        unpack(b"\0" + gzip.compress(b"data", mtime=0))


@pytest.mark.parametrize("at", [-8, -4, -1])
def test_a_wrong_checksum_or_length_is_refused(at: int) -> None:
    packed = bytearray(gzip.compress(b"data" * 100, mtime=0))
    packed[at] ^= 1
    with pytest.raises(InvalidArchive):
        unpack(bytes(packed))


def test_a_bomb_comes_in_small_pieces() -> None:
    packed = gzip.compress(bytes(64 * 1024 * 1024), 9, mtime=0)
    tracemalloc.start()
    try:
        total = 0
        for piece in gunzip([packed], member_limit=1):
            assert 0 < len(piece) <= PIECE_BYTES
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 64 * 1024 * 1024
    assert peak < 3 * 1024 * 1024


def test_incompressible_data_passes() -> None:
    data = os.urandom(3 * 1024 * 1024 + 17)
    assert unpack(gzip.compress(data, 1)) == data


def test_a_million_empty_members_are_refused() -> None:
    with pytest.raises(TooLarge) as caught:
        unpack(gzip.compress(b"", mtime=0) * 101)
    assert caught.value.details == {"what": "gzip members", "limit": 100}
