import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.printable import printable


@given(st.text())
def test_what_comes_out_is_printable_and_stays_as_it_is(text: str) -> None:
    clean = printable(text)
    assert clean.isprintable()
    assert printable(clean) == clean
    assert len(clean) <= len(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain é 漢字 🚀", "plain é 漢字 🚀"),
        ("a\tb\nc\r\x0b\x0cd\u00a0e\u2028f\u3000g", "a b c   d e f g"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\x1cb\x1dc\x1ed\x1fe", "abcde"),
        ("right\u202eto left\u2066\u200b\ufeff", "rightto left"),
        ("nul\0del\x7f", "nuldel"),
    ],
)
def test_examples(text: str, clean: str) -> None:
    assert printable(text) == clean
