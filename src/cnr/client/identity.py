"""What a package says of itself: format, name and release, from the file at its top that describes it.

Source: contracts/cnr.md section 1 (formats); Helm's Chart.yaml; kpm's manifest.yaml (`package: {name: ns/name,
version}`); the Compose specification, top-level `name`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cnr.client.errors import InvalidPackage
from cnr.domain.errors import InvalidArchive
from cnr.domain.yaml_text import Value, load

HELM = "helm"
FORMAT_OF = {
    "Chart.yaml": HELM,
    "manifest.yaml": "kpm",
    "manifest.jsonnet": "kpm",
    "compose.yaml": "docker-compose",
    "compose.yml": "docker-compose",
    "docker-compose.yaml": "docker-compose",
    "docker-compose.yml": "docker-compose",
}
"""Describing files, the one that decides first."""

READ_LIMIT = 1024 * 1024
"""Bytes of a describing file."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What could be read; `described_by` is the file's name."""

    format: str | None = None
    described_by: str | None = None
    namespace: str | None = None
    name: str | None = None
    release: str | None = None


def identify(files: Mapping[str, bytes], format: str | None = None) -> Identity:
    """The identity in the describing `files` at a package's top, read as `format` if that is given.

    Raises InvalidPackage for YAML that cannot be read.
    """
    for name, kind in FORMAT_OF.items():
        if name in files and format in (None, kind, _variant(kind)):
            return _read(name, format or kind, files[name])
    return Identity(format)


def _variant(kind: str) -> str:
    return "kpm-compose" if kind == "kpm" else kind


def _read(file: str, format: str, data: bytes) -> Identity:
    if file.endswith(".jsonnet"):
        return Identity(format, file)
    try:
        document = _mapping(load(data, what=file))
    except InvalidArchive as exc:
        raise InvalidPackage(exc.message) from None
    if file == "Chart.yaml":
        return Identity(format, file, None, _text(document, "name"), _text(document, "version"))
    if file == "manifest.yaml":
        about = _mapping(document.get("package"))
        namespace, _, name = (_text(about, "name") or "").rpartition("/")
        return Identity(format, file, namespace or None, name or None, _text(about, "version"))
    return Identity(format, file, None, _text(document, "name"))


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _text(document: Mapping[str, Value], key: str) -> str | None:
    value = document.get(key)
    return str(value) if isinstance(value, str) and value else None
