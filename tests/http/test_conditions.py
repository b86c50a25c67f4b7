"""If-None-Match. Source: RFC 9110 section 13.1.2."""

import pytest

from cnr.http.conditions import names

TAG = '"sha256:ab"'


@pytest.mark.parametrize("header", [TAG, f"W/{TAG}", "*", f'"x", {TAG}', f' {TAG} ,"x"', f'"x",W/{TAG},'])
def test_headers_that_name_the_tag(header: str) -> None:
    assert names(header, TAG)


@pytest.mark.parametrize("header", [None, "", "sha256:ab", '"sha256:abc"', '"x", "y"', "**", f"w/{TAG}"])
def test_headers_that_do_not(header: str | None) -> None:
    assert not names(header, TAG)
