import pytest

from cnr.http.encodings import takes


@pytest.mark.parametrize("header", ["gzip", "br, gzip", "GZIP;q=0.5", "gzip ; q=1.000", "gzip;q=x"])
def test_asked_for(header: str) -> None:
    assert takes(header, "gzip")


@pytest.mark.parametrize("header", [None, "", "*", "identity", "gzip;q=0", "gzip; Q=0.000", "x-gzip", "br"])
def test_not_asked_for(header: str | None) -> None:
    assert not takes(header, "gzip")
