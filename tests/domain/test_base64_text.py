import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.base64_text import decode
from cnr.domain.errors import InvalidArchive


@st.composite
def cut_text(draw: st.DrawFn) -> tuple[bytes, list[bytes | str]]:
    """Bytes, and their base64 with white space strewn in, cut anywhere, as bytes and text."""
    data = draw(st.binary(max_size=200))
    pieces: list[bytes | str] = []
    rest = base64.b64encode(data).decode()
    while rest:
        cut = draw(st.integers(1, len(rest)))
        piece = rest[:cut] + draw(st.sampled_from(["", "\n", " \r\n\t"]))
        pieces.append(piece.encode() if draw(st.booleans()) else piece)
        rest = rest[cut:]
    return data, pieces


@given(cut_text())
def test_decodes_any_cutting_and_white_space(sample: tuple[bytes, list[bytes | str]]) -> None:
    data, pieces = sample
    assert b"".join(decode(pieces)) == data


@pytest.mark.parametrize(
    "text",
    [
        "!!!!",
        "QQ",
        "QQ=",
        "Q===",
        "QUJD=",
        "QUJD====",
        "====",
        "=QUJ",
        "QQ==QQ==",
        "QQ==Q",
        "QQ==\n=",
        "QUJD-_-_",
        "QUJDé",
        "QUJD\0QUJ",
        "H4sIAP3mAFgAA....",
    ],
)
def test_refuses_what_is_not_strict_base64_however_it_is_cut(text: str) -> None:
    for size in (1, 2, 3, 4, 100):
        with pytest.raises(InvalidArchive):
            list(decode(text[at : at + size] for at in range(0, len(text), size)))


@given(st.text(alphabet="QUJDabz09+/=\n", max_size=24), st.integers(1, 5))
def test_a_cut_never_decides_what_is_accepted(text: str, size: int) -> None:
    def outcome(pieces: list[str]) -> bytes | None:
        try:
            return b"".join(decode(pieces))
        except InvalidArchive:
            return None

    assert outcome([text]) == outcome([text[at : at + size] for at in range(0, len(text), size)])


def test_nothing_decodes_to_nothing() -> None:
    assert list(decode(["", b" \n"])) == []
