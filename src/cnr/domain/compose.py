"""Projects as `docker compose publish` pushes them: one layer a file, plain text, and the archive made of them.

Source: observed from docker compose v2.34 to v5 (internal/oci/push.go): artifact type and config of OCI 1.1, and the
config type alone of its fall-back to OCI 1.0; every layer says its file's base name in an annotation.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cnr.domain.digest import Digest
from cnr.domain.limits import MIB
from cnr.domain.manifest import TITLE, Descriptor, Manifest
from cnr.domain.shape import is_file_name
from cnr.domain.targz import Entry, write_targz

PROJECT: Final = "application/vnd.docker.compose.project"
OLD_CONFIG: Final = "application/vnd.docker.compose.config.empty.v1+json"
_ANNOTATIONS: Final = {
    "application/vnd.docker.compose.file+yaml": "com.docker.compose.file",
    "application/vnd.docker.compose.envfile": "com.docker.compose.envfile",
}
"""Layers that are files of the project, and where each says its name."""

FILES_LIMIT: Final = 256
BYTES_LIMIT: Final = 4 * MIB
"""Of all files of a project; compose files have kilobytes."""


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of a project: its name, and the blob that it is."""

    name: str
    digest: Digest
    size: int


def is_project(manifest: Manifest) -> bool:
    """Whether `docker compose publish` made the manifest."""
    return manifest.kind in (PROJECT, OLD_CONFIG)


def project_files(manifest: Manifest) -> tuple[ProjectFile, ...] | None:
    """The files of a project in the order in which they were given; None where no safe archive can be made of them.

    That is: no file, too many or too large ones, a name that is none, or two that some file system takes for one.
    """
    layers = [layer for layer in manifest.layers or () if layer.media_type in _ANNOTATIONS]
    files = tuple(ProjectFile(_name(layer), layer.digest, layer.size) for layer in layers)
    if not 0 < len(files) <= FILES_LIMIT or sum(file.size for file in files) > BYTES_LIMIT:
        return None
    if any(file.size < 0 or not is_file_name(file.name) for file in files):
        return None
    return files if len({file.name.casefold() for file in files}) == len(files) else None


def _name(layer: Descriptor) -> str:
    annotations = layer.annotations or {}
    return annotations.get(_ANNOTATIONS[layer.media_type]) or annotations.get(TITLE) or ""


def project_archive(files: Sequence[tuple[str, bytes]]) -> bytes:
    """The gzipped tar of a project's files, by name and content: the same tar for the same files."""
    out = io.BytesIO()
    write_targz((Entry(name, len(data), (data,)) for name, data in files), out)
    return out.getvalue()
