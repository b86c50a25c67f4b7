import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.http.ranges import Range, RangeNotSatisfiable, parse_range

SIZES = st.integers(0, 3000)
ENDS = st.integers(0, 4000)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=500-1499", 500, 1500),
        ("bytes=500-", 500, 2048),
        ("bytes=-500", 1548, 2048),
        ("bytes=2000-5000", 2000, 2048),
        ("bytes=0-0", 0, 1),
        ("bytes=-5000", 0, 2048),
        ("Bytes=0-1", 0, 2),
        ("bytes=0-" + "9" * 5000, 0, 2048),
        ("bytes=" + "0" * 5000 + "1-2", 1, 3),
    ],
)
def test_the_part_asked_for(header: str, start: int, stop: int) -> None:
    found = parse_range(header, 2048)
    assert found == Range(start, stop, 2048)
    assert found.content_range == f"bytes {start}-{stop - 1}/2048"


@pytest.mark.parametrize(
    "header", ["bytes=5000-10000", "bytes=500-0", "bytes=2048-", "bytes=-0", "bytes=" + "9" * 5000 + "-"]
)
def test_no_byte_is_left(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, 2048)
    assert caught.value.content_range == "bytes */2048"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=0-1,5-6",
        "items=0-1",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=٣-٤",
        "0-1",
    ],
)
def test_everything_else_means_the_whole(header: str | None) -> None:
    assert parse_range(header, 2048) is None


@given(header=st.text(max_size=40) | st.from_regex(r"bytes=[0-9,\- ]{0,30}", fullmatch=True), size=SIZES)
def test_any_header_gives_a_real_part_the_whole_or_the_error(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.start < found.stop <= size == found.size


@given(size=SIZES, start=ENDS, last=ENDS)
def test_a_range_is_the_slice_it_names(size: int, start: int, last: int) -> None:
    data = bytes(size)
    expected = data[start : last + 1]
    if expected:
        found = parse_range(f"bytes={start}-{last}", size)
        assert found is not None
        assert data[found.start : found.stop] == expected
        assert found.length == len(expected)
    else:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes={start}-{last}", size)


@given(size=SIZES, count=ENDS)
def test_a_suffix_is_the_last_bytes(size: int, count: int) -> None:
    expected = bytes(size)[max(size - count, 0) :] if count else b""
    if expected:
        found = parse_range(f"bytes=-{count}", size)
        assert found is not None
        assert (found.length, found.stop) == (len(expected), size)
    else:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes=-{count}", size)
