"""A chart's version as an entry of index.yaml: JSON, which is YAML too, with the fields that helm knows and no other.

helm before 3.13 reads an index as strict YAML: one unknown key, one character that YAML does not allow, one time
without a zone, and the whole repository is refused. Source: contracts/oci-helm.md section 4, "TRAP".
"""

from typing import Any, Final

import msgspec

from cnr.domain.chart import Chart, Dependency, Maintainer, check_chart
from cnr.domain.chart_version import archive_path
from cnr.domain.digest import Digest
from cnr.domain.errors import InvalidArchive
from cnr.domain.limits import KIB
from cnr.domain.manifest import rfc3339
from cnr.domain.printable import printable

ANNOTATION_LIMIT: Final = 8 * KIB
"""Bytes of one annotation; a longer one is left out."""
ANNOTATIONS_LIMIT: Final = 16 * KIB
"""Bytes of all annotations of an entry."""
KEY_LIMIT: Final = 512
"""Characters of a key: YAML allows 1024 for one that is not marked as such."""
ENTRY_LIMIT: Final = 64 * KIB
"""Bytes of an entry above which it has only what installing needs."""

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Chart)


class Entry(Chart, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A chart and where it is. `digest` is the bare hex of the archive's sha256."""

    created: str
    digest: str
    urls: tuple[str, ...]
    removed: bool = False


def chart_of_config(config: bytes) -> Chart:
    """The chart of a helm config blob, checked as Chart.yaml is. Raises InvalidArchive.

    The config comes from a client and need not say what the archive says. Its text is as it came.
    """
    try:
        found = _decoder.decode(config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidArchive(f"the chart's config cannot be read: {str(exc)[:200]}") from None
    return check_chart(found)


def index_entry(chart: Chart, digest: Digest, *, created_at: int, yanked: bool = False) -> bytes:
    """The entry of a chart whose archive has `digest`, a sha256. `created_at` in microseconds UTC.

    A yanked one is marked as deprecated and removed.
    Left out: an icon that is data, annotations beyond the limits, and of a very large entry what is only to be read.
    """
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm != "sha256":
        raise InvalidArchive("helm knows charts by sha256 only")
    fields = {name: _printable(getattr(chart, name)) for name in Chart.__struct_fields__ if name != "annotations"}
    fields["annotations"] = _annotations(chart.annotations)
    if chart.icon.startswith("data:"):
        fields["icon"] = ""
    fields["deprecated"] = chart.deprecated or yanked
    place: dict[str, Any] = {
        "removed": yanked,
        "created": rfc3339(created_at),
        "digest": hexadecimal,
        "urls": (archive_path(chart.name, chart.version),),
    }
    data = _encoder.encode(Entry(**fields, **place))
    return data if len(data) <= ENTRY_LIMIT else _encoder.encode(Entry(**_essential(fields), **place))


def _essential(fields: dict[str, Any]) -> dict[str, Any]:
    kept = ("name", "version", "api_version", "app_version", "kube_version", "type", "deprecated", "dependencies")
    return {name: fields[name] for name in kept} | {"description": fields["description"][:KIB]}


def _annotations(annotations: dict[str, str]) -> dict[str, str]:
    kept, left = {}, ANNOTATIONS_LIMIT
    for key, value in sorted(annotations.items()):
        size = len(key.encode(errors="replace")) + len(value.encode(errors="replace"))
        if len(key) <= KEY_LIMIT and size <= min(ANNOTATION_LIMIT, left):
            kept[printable(key)], left = _lines(value), left - size
    return kept


def _printable(value: Any) -> Any:
    """`value` without characters that YAML, or a terminal, would take for something else."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple([_printable(item) for item in value])
    if isinstance(value, dict):
        return {printable(key)[:KEY_LIMIT]: _printable(item) for key, item in value.items()}
    if isinstance(value, Maintainer | Dependency):
        return type(value)(**{name: _printable(getattr(value, name)) for name in value.__struct_fields__})
    return value


def _lines(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(_line, text.split("\n")))


def _line(text: str) -> str:
    return "\t".join(map(printable, text.split("\t")))
