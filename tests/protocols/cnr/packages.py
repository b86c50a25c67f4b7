"""Packages to push: gzipped tars made here, always the same bytes for the same content, and two well-known ones."""

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SEED_TAR: Final = "72ed15c9a65961ecd034cca098ec18eb99002cd402824aae8a674a8ae41bd0ef"
"""Tar digest of the chart in the README's walk-through."""


def seed_chart() -> bytes:
    """The elasticsearch chart that the README publishes, byte for byte."""
    return base64.b64decode((Path(__file__).parent / "elasticsearch.b64").read_text())


def tar(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar of these files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def gz(data: bytes, level: int = 9) -> bytes:
    """`data` as one gzip member without a time."""
    return gzip.compress(data, level, mtime=0)


def chart(text: str = "", *, name: str = "app", version: str = "1.0.0") -> bytes:
    """A small valid helm chart; another `text` makes another tar."""
    head = f"apiVersion: v2\nname: {name}\nversion: {version}\n"
    return gz(tar({f"{name}/Chart.yaml": head.encode(), f"{name}/templates/note.txt": text.encode()}))


def tar_digest(package: bytes) -> str:
    """The digest by which the CNR API names this package."""
    return hashlib.sha256(gzip.decompress(package)).hexdigest()


def b64(data: bytes) -> str:
    """Standard base64 on one line."""
    return base64.b64encode(data).decode()
