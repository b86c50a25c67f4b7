import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnr.domain.errors import StoreUnavailable, TooLarge
from cnr.http.json_stream import DEPTH_LIMIT, LONG_STRING, REST_LIMIT, SPOOLED_LIMIT, InvalidJson, read_object
from cnr.http.spool import Spool


async def cut(body: bytes, sizes: Sequence[int]) -> AsyncIterator[bytes]:
    at = 0
    for size in sizes:
        yield body[at : at + size]
        at += size
    yield body[at:]


async def read(body: bytes, folder: Path, sizes: Sequence[int] = ()) -> dict[str, Any]:
    document = await read_object(cut(body, sizes), spool_folder=folder)
    fields = {
        name: b"".join(value.chunks()).decode() if isinstance(value, Spool) else value
        for name, value in document.fields.items()
    }
    document.close()
    return fields


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Long enough for the spool, with every kind of character and escape at any place in it.
LONG_TEXT = st.tuples(TEXT, TEXT, st.integers(LONG_STRING // 40, LONG_STRING // 20)).map(
    lambda parts: parts[0] + (parts[1] or "x") * (parts[2] * 40 // len(parts[1] or "x")) + parts[0]
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
NAMES = TEXT | st.sampled_from(["blob", "release", "a"])
MEMBERS = st.lists(st.tuples(NAMES, VALUES | LONG_TEXT), max_size=6)
WRITERS = st.sampled_from(
    [
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        lambda value: json.dumps(value, ensure_ascii=True, indent=1),
        lambda value: json.dumps(value).replace("/", "\\/"),
    ]
)
CUTS = st.lists(st.integers(0, 30) | st.integers(0, LONG_STRING * 2), max_size=30)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS, write=WRITERS, sizes=CUTS, padding=st.sampled_from([0, LONG_STRING]))
async def test_equals_json_loads_for_any_document_and_any_chunking(
    members: list[tuple[str, Any]], write: Any, sizes: list[int], padding: int, tmp_path: Path
) -> None:
    inside = ",".join(f"{write(name)}: {write(value)}" for name, value in members)
    body = ("{" + inside + " " * padding + "} \n").encode()
    assert await read(body, tmp_path, sizes) == json.loads(body)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=CUTS,
    at=st.integers(0, 2 * LONG_STRING + 60),
    junk=st.sampled_from([b"", b'"', b"\\", b"\xff", b"{", b"]", b"1"]),
)
async def test_a_damaged_document_is_refused_just_when_json_loads_refuses_it(
    sizes: list[int], at: int, junk: bytes, tmp_path: Path
) -> None:
    whole = b'{"blob": "' + b"QUJD" * (LONG_STRING // 2) + b'", "more": [{"x": ["y"]}], "release": "1.0.0"}'
    body = whole[:at] + junk + whole[at + 1 :]
    try:
        expected = json.loads(body)
    except ValueError:
        expected = None
    if isinstance(expected, dict):
        assert await read(body, tmp_path, sizes) == expected
    else:
        with pytest.raises(InvalidJson):
            await read(body, tmp_path, sizes)


LONG = "x" * (LONG_STRING + 1)


@pytest.mark.parametrize(
    "template",
    [
        '{"a": "LONG" "b"}',
        '{"a": "LONG", }',
        '{"a": "LONG"} x',
        '{"a": "LONG"}{}',
        '{"a": nul"LONG"}',
        '{"a": "LONG"null}',
        '{"a": "LONG""LONG"}',
        '{"a": -"LONG"}',
        '{"a" "LONG"}',
        '{"a": ["LONG"]]}',
        '{"a": ["LONG"}}',
        '{"LONG"}',
        '["LONG"]',
        '"LONG"',
        "LONG",
        '{"a": "LONG',
        '{"a": "LONG"',
        '{"a": "LONG\\ud800"}',
        '{"a": "LONG\\udc00\\ud800"}',
        '{"a": "LONG\\x"}',
        '{"a": "LONG\\u12"}',
        '{"a": "LONG\n"}',
        '{"\\ud800": "LONG"}',
        '{"a": "LONG", "n": NaN}',
        '{"a": "LONG", "n": 1e999}',
        '{"a": "LONG", "n": 01}',
    ],
)
async def test_what_is_no_json_object_is_refused(template: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidJson):
        await read(template.replace("LONG", LONG).encode(), tmp_path, [70_000])
    with pytest.raises(InvalidJson):
        await read(template.replace("LONG", "x").encode(), tmp_path)


@pytest.mark.parametrize(
    "escaped",
    [
        "\\ud800\\udc00",
        "\\uD83D\\uDE00",
        "\\udbff\\uDFFF",
        "\\uDABC\\udeff",
        "\\uD7FF\\ue000\\uFFFF\\u0000",
        "\\b\\f\\/",
    ],
)
async def test_escapes_of_every_kind_wherever_they_are_cut(escaped: str, tmp_path: Path) -> None:
    body = ('{"a": "' + LONG + escaped + '"}').encode()
    for cut_at in range(len(body) - len(escaped) - 3, len(body)):
        assert await read(body, tmp_path, [cut_at]) == json.loads(body)


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"])
async def test_invalid_utf8_is_refused(text: bytes, tmp_path: Path) -> None:
    for filler in (b"", b"x" * 2 * LONG_STRING):
        with pytest.raises(InvalidJson):
            await read(b'{"a": "' + filler + text + b'"}', tmp_path)


@pytest.mark.parametrize("body", [b"", b" ", b"not json", b"[1]", b"7", b"null", b'"x"', b"\xef\xbb\xbf{}", b"{", b"}"])
async def test_a_short_body_that_is_no_object_is_refused(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidJson):
        await read(body, tmp_path)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [DEPTH_LIMIT, 1_000, 100_000])
async def test_depth_bombs_are_refused(opening: bytes, depth: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidJson):
        await read(b'{"a": ' + opening * depth, tmp_path)
    filler = b'{"blob": "' + b"x" * LONG_STRING + b'", "a": '
    with pytest.raises(InvalidJson):
        await read(filler + opening * depth, tmp_path, [LONG_STRING])


async def test_the_deepest_allowed_nesting_is_read(tmp_path: Path) -> None:
    deep = b'{"a": ' + b"[" * (DEPTH_LIMIT - 1) + b"]" * (DEPTH_LIMIT - 1) + b"}"
    assert await read(deep, tmp_path) == json.loads(deep)
    wide = b'{"a": [' + b"[]," * 500 + b"[]]}"
    assert await read(wide, tmp_path) == json.loads(wide)


async def test_only_a_long_field_of_the_object_itself_is_spooled(tmp_path: Path) -> None:
    body = json.dumps({"long": LONG, "inner": [LONG], "short": "x" * 100}).encode()
    document = await read_object(cut(body, []), spool_folder=tmp_path)
    assert isinstance(document.fields["long"], Spool)
    assert document.fields["inner"] == [LONG]
    assert document.fields["short"] == "x" * 100
    document.close()


async def test_the_last_of_duplicate_fields_wins_and_the_others_are_closed(tmp_path: Path) -> None:
    two = "{" + f'"a": "{LONG}1", "b": 1, "\\u0061": "{LONG}2"' + "}"
    assert await read(two.encode(), tmp_path) == {"a": LONG + "2", "b": 1}
    short_last = "{" + f'"a": "{LONG}", "a": null' + "}"
    assert await read(short_last.encode(), tmp_path) == {"a": None}


async def test_too_much_besides_long_strings_is_too_large(tmp_path: Path) -> None:
    for body in (
        b'{"a": [' + b"1," * REST_LIMIT,
        b'{"' + b"k" * 2 * REST_LIMIT,
        b'{"a": ["' + b"x" * 2 * REST_LIMIT,
        b'{"a": 1' + b" " * 2 * REST_LIMIT,
    ):
        with pytest.raises(TooLarge):
            await read(body, tmp_path, [LONG_STRING] * 40)


async def test_many_long_strings_are_too_large(tmp_path: Path) -> None:
    fields = {f"f{number}": LONG for number in range(SPOOLED_LIMIT)}
    assert await read(json.dumps(fields).encode(), tmp_path) == fields
    with pytest.raises(TooLarge):
        await read(json.dumps(fields | {"one": LONG}).encode(), tmp_path)


async def test_a_string_of_many_mebibytes_goes_through_a_file_without_a_name(tmp_path: Path) -> None:
    text = "QUJDRA+/" * (1024 * 1024)
    body = json.dumps({"blob": text}).encode()
    document = await read_object(cut(body, [100_000] * 100), spool_folder=tmp_path)
    spool = document.fields["blob"]
    assert spool.size == len(text)
    assert not os.listdir(tmp_path)
    assert b"".join(spool.chunks()) == text.encode()
    assert b"".join(spool.chunks()) == text.encode()
    document.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("end", [b"\x00", b'"} junk', b'", "b": [[', b'" "' + b"x" * 3_000_000 + b'"}', None])
async def test_a_body_that_fails_midway_leaves_no_open_file(end: bytes | None, tmp_path: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b'{"blob": "'
        for _ in range(40):
            yield b"x" * 100_000
        if end is None:
            raise ConnectionError
        yield end

    before = open_files()
    with pytest.raises((InvalidJson, ConnectionError)):
        await read_object(failing(), spool_folder=tmp_path)
    assert open_files() == before


async def test_a_missing_spool_folder_is_the_servers_trouble(tmp_path: Path) -> None:
    body = json.dumps({"blob": "x" * 3_000_000}).encode()
    with pytest.raises(StoreUnavailable):
        await read(body, tmp_path / "missing", [2_000_000])
