"""A package as an OCI artifact: which layer of a manifest is its archive, and which manifest an archive gets."""

from cnr.domain.archive import HELM, PackageContents
from cnr.domain.chart import Chart
from cnr.domain.errors import BadInput
from cnr.domain.manifest import (
    HELM_CONFIG,
    Composed,
    Descriptor,
    Layer,
    Manifest,
    chart_layer,
    helm_manifest,
    package_manifest,
)
from cnr.domain.names import Format, PackageName, parse_format
from cnr.domain.version import Release


def package_layer(manifest: Manifest) -> tuple[Format, Descriptor] | None:
    """The format of a package's manifest and the layer with its archive; None for any other manifest.

    Source: contracts/oci-helm.md section 3 and 6.1.
    """
    layers = manifest.layers or ()
    if manifest.config is not None and manifest.config.media_type == HELM_CONFIG:
        chart = chart_layer(manifest)
        return (HELM, chart) if chart else None
    kind = manifest.kind or ""
    if len(layers) != 1 or not kind.startswith(("application/vnd.cnr.", "application/vnd.appr.")):
        return None
    try:
        return parse_format(kind), layers[0]
    except BadInput:
        return None


def needs_helm_shape(contents: PackageContents, chart: Chart | None) -> bool:
    """Whether helm sees the package as `chart`, but could not load its archive as it is."""
    return chart is not None and not contents.shape.loadable


def compose(
    package: PackageName,
    release: Release,
    format: Format,
    chart: Chart | None,
    layer: Layer,
    *,
    created_at: int,
    provenance: bytes | None = None,
) -> Composed:
    """The manifest that a server makes of a package: helm's own where helm sees it as `chart`, else an artifact's.

    `layer` is the archive that OCI serves, helm-shaped where `needs_helm_shape`. `created_at` in microseconds UTC.
    `provenance` is a file about the chart, which becomes its second layer.
    Source: contracts/oci-helm.md 6.1.
    """
    if chart is None:
        return package_manifest(package, release, format, layer, created_at=created_at)
    return helm_manifest(chart, layer, created_at=created_at, provenance=provenance)
