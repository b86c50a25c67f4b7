from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnr.domain.errors import InvalidUsage
from cnr.http.multipart import PARTS, FormFiles
from cnr.http.spool import PIECE

TYPE = "multipart/form-data; boundary=edge"


def part(name: str, data: bytes, *, file: str = "/home/me/../x.tgz") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\nContent-Type: text/plain\r\n\r\n'
    return b"--edge\r\n" + head.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--edge--\r\n"


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def read(data: bytes, folder: Path, *, content_type: str = TYPE, size: int = 65536) -> dict[str, bytes]:
    form = FormFiles(("chart", "prov"), folder)
    try:
        await form.read(pieces(data, size), content_type)
        return {name: b"".join(file.chunks()) for name, file in form.files.items()}
    finally:
        form.close()


@pytest.mark.parametrize("size", [1, 3, 7, 65536])
async def test_files_by_name(tmp_path: Path, size: int) -> None:
    data = form(part("other", b"x"), part("chart", b"\r\n--edg\r\n\0"), part("prov", b""), part("chart", b"second"))
    assert await read(data, tmp_path, size=size) == {"chart": b"\r\n--edg\r\n\0", "prov": b""}


async def test_a_long_file_goes_to_the_spool(tmp_path: Path) -> None:
    data = b"ab" * (PIECE + 1)
    assert (await read(form(part("chart", data)), tmp_path))["chart"] == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.binary(max_size=200), size=st.integers(1, 50))
async def test_any_chunking(tmp_path: Path, data: bytes, size: int) -> None:
    if b"--edge" not in data:
        assert await read(form(part("chart", data)), tmp_path, size=size) == {"chart": data}


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (form(part("chart", b"x")), "multipart/form-data"),
        (form(part("chart", b"x")), "multipart/form-data; boundary=" + "b" * 71),
        (form(part("chart", b"x")), "multipart/form-data; boundary=other"),
        (part("chart", b"x"), TYPE),
        (b"", TYPE),
        (b"--edge\r\nno header\r\n\r\n", TYPE),
        (b"--edge\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", TYPE),
        (form(*[part("x", b"")] * (PARTS + 1)), TYPE),
    ],
)
async def test_what_is_no_form(tmp_path: Path, data: bytes, content_type: str) -> None:
    with pytest.raises(InvalidUsage):
        await read(data, tmp_path, content_type=content_type)
