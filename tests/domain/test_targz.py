import gzip
import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.archive import inspect
from cnr.domain.limits import Limits
from cnr.domain.names import Format
from cnr.domain.targz import Entry, write_targz

part = st.text(st.characters(codec="utf-8", exclude_characters="/\0\\"), min_size=1, max_size=80)
names = st.lists(part.filter(lambda text: text not in (".", "..")), min_size=1, max_size=4).map("/".join)


def pack(files: dict[str, bytes]) -> tuple[bytes, str]:
    out = io.BytesIO()
    digest = write_targz((Entry(name, len(data), [data]) for name, data in files.items()), out)
    return out.getvalue(), digest


@given(st.dictionaries(names, st.binary(max_size=2000), max_size=5))
def test_others_read_what_is_written(files: dict[str, bytes]) -> None:
    packed, digest = pack(files)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        found = [(member.name, member.mode, member.mtime, member.uid, member.uname) for member in tar]
        assert found == [(name, 0o644, 0, 0, "") for name in files]
        assert all((file := tar.extractfile(name)) and file.read() == data for name, data in files.items())
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == digest
    assert inspect([packed], Limits(), Format("kpm")).tar_digest == digest


def test_the_bytes_depend_on_names_and_contents_only() -> None:
    packed, digest = pack({"Chart.yaml": b"name: a\n", "é" * 80: b""})
    assert pack({"Chart.yaml": b"name: a\n", "é" * 80: b""}) == (packed, digest)
    assert digest == "0d1b5479c54df8b7dcf9fbeeeb573874cc8a2a74737cfcd4e68a5de6a3a3dffc"
    assert packed[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_a_tar_is_padded_to_a_record() -> None:
    assert len(gzip.decompress(pack({})[0])) == 10240
    assert len(gzip.decompress(pack({"a": b"x" * 10240})[0])) == 20480


@pytest.mark.parametrize("chunks", [[b"abc"], [b"ab", b"cde"], []])
def test_a_file_that_changes_while_it_is_packed_is_an_error(chunks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="bytes instead of 4"):
        write_targz([Entry("a", 4, chunks)], io.BytesIO())
