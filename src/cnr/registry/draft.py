"""What a push will write: the OCI manifest of a package, and the blobs that it names."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from cnr.domain.archive import PackageContents
from cnr.domain.chart import Chart, helm_visible
from cnr.domain.digest import Digest, sha256
from cnr.domain.helm_shape import SpooledArchive, helm_shaped
from cnr.domain.limits import Limits
from cnr.domain.manifest import Composed, Layer
from cnr.domain.names import Format, PackageName
from cnr.domain.package import compose, needs_helm_shape
from cnr.domain.version import Release
from cnr.registry.core import Bytes, Source


@dataclass(frozen=True, slots=True)
class Push:
    """A package that was looked into and may be published. `created_at` in microseconds UTC.

    `exact`: the manifest names these very bytes, whatever gzip of the same tar is there. `provenance`: a file about
    them, which becomes the manifest's second layer.
    """

    package: PackageName
    release: Release
    format: Format
    source: Source
    contents: PackageContents
    created_at: int
    exact: bool = False
    provenance: bytes | None = None

    @property
    def chart(self) -> Chart | None:
        """The chart by which helm sees the package, if it does."""
        return helm_visible(self.contents, self.package.name, self.release)


@dataclass(frozen=True, slots=True)
class Part:
    """A blob that the manifest names."""

    digest: Digest
    size: int
    source: Source


@dataclass(frozen=True, slots=True)
class Draft:
    """The manifest, and its blobs beside the package's own gzip."""

    manifest: Composed
    parts: tuple[Part, ...]


def helm_shape(push: Push, chart: Chart | None, *, limits: Limits, spool_folder: Path) -> SpooledArchive | None:
    """The archive that helm can load, where the pushed one is a chart that it cannot. Close it when done."""
    if chart is None or not needs_helm_shape(push.contents, chart):
        return None
    return helm_shaped(
        push.source.chunks(),
        push.contents.shape,
        chart.name,
        limits=limits,
        open_spool=lambda: tempfile.TemporaryFile(dir=spool_folder),
    )


def draft(push: Push, chart: Chart | None, held: Layer, shaped: SpooledArchive | None) -> Draft:
    """The manifest of a push whose gzip in the package is `held`; a chart's layer is `shaped` where there is one.

    Source: contracts/oci-helm.md 6.1.
    """
    layer = shaped.layer if shaped else held
    made = compose(
        push.package,
        push.release,
        push.format,
        chart,
        layer,
        created_at=push.created_at,
        provenance=push.provenance,
    )
    extra = (Part(shaped.layer.digest, shaped.layer.size, shaped),) if shaped else ()
    return Draft(made, (part_of(made.config), *extra, *([part_of(push.provenance)] if push.provenance else [])))


def part_of(data: bytes) -> Part:
    """A blob in memory."""
    return Part(sha256(data), len(data), Bytes(data))
