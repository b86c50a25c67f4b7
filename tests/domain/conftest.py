"""Archives to test with: well-made ones, raw tar headers for ill-made ones, and the shared corpus."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine must not fail a test
settings.load_profile("no deadline")

SHARED = Path(__file__).parents[2].parent / "shared"


@dataclass(frozen=True)
class Corpus:
    """The real packages of shared/corpus."""

    folder: Path
    index: list[dict[str, str | int]]

    def read(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()


class Archives:
    """Makes archives, good and bad."""

    END = bytes(1024)

    def header(
        self,
        name: bytes,
        size: int | bytes = 0,
        *,
        kind: bytes = b"0",
        mode: bytes = b"0000644\0",
        magic: bytes = b"ustar\x0000",
        prefix: bytes = b"",
        link: bytes = b"",
    ) -> bytes:
        """One tar header with a right checksum, whatever it says."""
        field = size if isinstance(size, bytes) else b"%011o\0" % size
        block = bytearray(512)
        for at, value in (
            (0, name[:100]),
            (100, mode),
            (124, field),
            (136, b"%011o\0" % 0),
            (148, b" " * 8),
            (156, kind),
            (157, link),
            (257, magic),
            (345, prefix),
        ):
            block[at : at + len(value)] = value
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    def member(self, name: bytes, data: bytes = b"", *, kind: bytes = b"0", mode: bytes = b"0000644\0") -> bytes:
        """A header and its data, padded."""
        return self.header(name, len(data), kind=kind, mode=mode) + data + bytes(-len(data) % 512)

    def pax(self, **records: str | bytes) -> bytes:
        """A PAX extended header with these records (`__` stands for a dot)."""
        data = b""
        for key, value in records.items():
            raw = value if isinstance(value, bytes) else value.encode()
            body = b" " + key.replace("__", ".").encode() + b"=" + raw + b"\n"
            size = next(n for n in range(len(body), len(body) + 9) if len(str(n)) + len(body) == n)
            data += str(size).encode() + body
        return self.member(b"PaxHeader", data, kind=b"x")

    def targz(self, files: dict[str, bytes] | Iterable[tuple[str, bytes]]) -> bytes:
        """A well-made gzipped tar of regular files."""
        pairs = files.items() if isinstance(files, dict) else files
        return gzip.compress(b"".join(self.member(name.encode(), data) for name, data in pairs) + self.END, 6, mtime=0)

    def gz(self, *parts: bytes) -> bytes:
        """A gzip of these tar bytes."""
        return gzip.compress(b"".join(parts), 6, mtime=0)

    def standard(self, files: dict[str, bytes], format: int) -> bytes:
        """The tar that Python's own module writes, in one of its formats."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=format) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()


@pytest.fixture(scope="session")
def archives() -> Archives:
    return Archives()


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Missing is a failure: without it nothing says that real packages work."""
    folder = SHARED / "corpus"
    return Corpus(folder, json.loads((folder / "index.json").read_text()))


@pytest.fixture(scope="session")
def seed_readme() -> str:
    return (SHARED / "seed-readme.md").read_text()
