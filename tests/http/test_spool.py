from pathlib import Path

import pytest

from cnr.http.spool import PIECE, Source, Spool, Text, as_source


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE + 17])
@pytest.mark.parametrize("flush_each", [False, True])
def test_gives_back_what_was_written_any_number_of_times(size: int, flush_each: bool, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    data = bytes(range(256)) * (size // 256 + 1)
    for at in range(0, size, 100_000):
        spool.write(data[at : min(at + 100_000, size)])
        if flush_each and spool.full:
            spool.flush()
    assert spool.size == size
    first, second = spool.chunks(), spool.chunks()
    interleaved = b"".join(a + b"" for a, _ in zip(first, second, strict=True))
    assert interleaved == data[:size]
    assert all(len(chunk) <= PIECE for chunk in spool.chunks())
    assert not list(tmp_path.iterdir())
    spool.close()
    spool.close()


def test_memory_is_free_after_a_flush(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(b"x" * PIECE)
    assert spool.full
    spool.flush()
    assert not spool.full
    assert spool.size == PIECE
    spool.close()


def test_a_short_text_has_the_same_face() -> None:
    text = as_source("häm")
    assert text is not None
    assert (text.size, b"".join(text.chunks()), b"".join(text.chunks())) == (4, "häm".encode(), "häm".encode())
    text.close()


def test_only_strings_are_sources(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert as_source(spool) is spool
    assert [as_source(value) for value in (None, 1, True, ["x"], {"x": "y"})] == [None] * 5
    sources: list[Source] = [spool, Text("")]
    assert [source.size for source in sources] == [0, 0]
