import pytest

from cnr.http.encodings import chosen


@pytest.mark.parametrize("header", ["gzip", "br, gzip", "GZIP;q=0.5", "gzip ; q=1.000", "gzip;q=x"])
def test_asked_for(header: str) -> None:
    assert chosen(header, ("gzip",)) == "gzip"


@pytest.mark.parametrize("header", [None, "", "*", "identity", "gzip;q=0", "gzip; Q=0.000", "x-gzip", "br"])
def test_not_asked_for(header: str | None) -> None:
    assert chosen(header, ("gzip",)) is None


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip, zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
        ("zstd;q=0, gzip;q=0", None),
        ("zstd", "zstd"),
        ("zstd;q=0.5, gzip;q=0.5", "zstd"),
    ],
)
def test_the_one_that_weighs_most(header: str, coding: str | None) -> None:
    assert chosen(header, ("zstd", "gzip")) == coding
