"""The elements of a large document's arrays, as json.loads would give them."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.legacy.json_items import PIECE_BYTES, Item, NoOutline, items

scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
documents = st.dictionaries(st.text(max_size=20), st.lists(values) | values, max_size=5)


class Trickle(io.RawIOBase):
    """A file that gives `step` bytes at a time, whatever was asked for."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(self._step)


def read(data: bytes, *, step: int = PIECE_BYTES, limit: int = 10**9) -> list[Item]:
    return list(items(Trickle(data, step), limit=limit))  # type: ignore[arg-type]  # read() is all that it needs


@given(documents, st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_those_of_the_document(
    document: dict[str, Any], step: int, indent: int | None, ascii: bool
) -> None:
    data = json.dumps(document, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    found = read(data, step=step)
    expected = [(key, element) for key, value in document.items() if isinstance(value, list) for element in value]
    assert [json.loads(item.data or b"") for item in found] == [element for _, element in expected]
    for item, (key, _) in zip(found, expected, strict=True):
        assert item.data == data[item.offset : item.offset + item.size]
        assert item.key == key or any("\ud800" <= char <= "\udfff" for char in key)


def test_a_key_with_escapes() -> None:
    assert read(rb'{"p\u0061ckages" : [ 1 ]}')[0].key == "packages"


def test_other_values_at_the_top_are_passed_over() -> None:
    found = read(b'{"page": 0, "inner": {"packages": [1, {"x": [2]}]}, "text": "[1]", "packages": [ {"a": 1} ,2 ]}')
    assert [(item.key, item.data) for item in found] == [("packages", b'{"a": 1}'), ("packages", b"2")]


def test_an_element_beyond_the_limit_is_named_and_not_kept() -> None:
    data = b'{"packages": [{"blob": "' + b"x" * 5000 + b'"}, {"a": 1}]}'
    long, short = read(data, step=100, limit=1000)
    assert long.data is None
    assert data[long.offset : long.offset + long.size].strip() == data[14:-12]
    assert short.data == b'{"a": 1}'


def test_depth_costs_nothing() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert read(b'{"packages": [' + deep + b"]}")[0].data == deep


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b"[1, 2]", "no JSON object"),
        (b"'packages'", "no JSON object"),
        (b'"packages"', "no JSON object"),
        (b'{"packages": [{"a": "b', "ends in the middle"),
        (b'{"packages": [1]', "ends in the middle"),
        (b'{"packages": [1}]', "do not match"),
        (b'{"packages": [1]}}', "do not match"),
        (b'{"packages": [1]} x', "behind its end"),
        (b'{"packages": [1]} {', "behind its end"),
        (b"]", "do not match"),
        (b"\x1f\x8b\x08", "no JSON object"),
    ],
)
def test_what_is_no_whole_document(data: bytes, reason: str) -> None:
    for step in (1, 2, PIECE_BYTES):
        with pytest.raises(NoOutline, match=reason):
            read(data, step=step)
