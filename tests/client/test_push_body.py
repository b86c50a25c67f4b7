"""The body of a push: JSON with the package in base64, of the size that it says, whatever the package's size."""

import base64
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.client.push_body import _SLICE_BYTES, PushBody


@pytest.mark.parametrize("size", [0, 1, 2, 3, _SLICE_BYTES - 1, _SLICE_BYTES, _SLICE_BYTES + 1, 3 * _SLICE_BYTES + 2])
def test_the_body_is_the_json_that_it_stands_for(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    seen: list[int] = []
    body = PushBody({"release": "1.0.0"}, io.BytesIO(content[:size]), size, seen.append)
    sent = b"".join(body)
    assert len(sent) == body.size
    assert json.loads(sent) == {"release": "1.0.0", "blob": base64.b64encode(content[:size]).decode()}
    assert sum(seen) == size


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "blob"), st.text(max_size=5), max_size=3))
def test_any_fields(fields: dict[str, str]) -> None:
    body = PushBody(fields, io.BytesIO(b"x"), 1, lambda size: None)
    sent = b"".join(body)
    assert json.loads(sent) == fields | {"blob": "eA=="}
    assert len(sent) == body.size


def test_no_piece_is_large() -> None:
    body = PushBody({}, io.BytesIO(bytes(4 * _SLICE_BYTES)), 4 * _SLICE_BYTES, lambda size: None)
    assert max(map(len, body)) <= 4 * _SLICE_BYTES // 3
