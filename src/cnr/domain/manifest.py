"""OCI manifests that the server makes, byte for byte the same for the same package; and a reader for any.

Their bytes are for ever: a manifest is named by its digest, and what was signed or pinned must stay. So whoever
changes what is written here changes it for new packages only, and tests/golden says so.
Source: OCI image-spec 1.1, "Image Manifest"; contracts/oci-helm.md sections 3 and 6.1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NewType

import msgspec

from cnr.domain.archive import HELM
from cnr.domain.chart import Chart
from cnr.domain.digest import Digest, TarDigest, sha256
from cnr.domain.errors import InvalidUsage
from cnr.domain.names import Format, PackageName
from cnr.domain.version import Release

MediaType = NewType("MediaType", str)

MANIFEST_TYPE = MediaType("application/vnd.oci.image.manifest.v1+json")
INDEX_TYPE = MediaType("application/vnd.oci.image.index.v1+json")
EMPTY_CONFIG = MediaType("application/vnd.oci.empty.v1+json")
HELM_CONFIG = MediaType("application/vnd.cncf.helm.config.v1+json")
HELM_CHART_LAYER = MediaType("application/vnd.cncf.helm.chart.content.v1.tar+gzip")
PROVENANCE_LAYER = MediaType("application/vnd.cncf.helm.chart.provenance.v1.prov")
RELEASE_ARTIFACT = MediaType("application/vnd.cnr.release.v1+json")
"""The artifact type of the index that the server makes over a release's formats."""

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
CREATED = "org.opencontainers.image.created"
DESCRIPTION = "org.opencontainers.image.description"
URL = "org.opencontainers.image.url"
SOURCE = "org.opencontainers.image.source"
AUTHORS = "org.opencontainers.image.authors"
FORMAT = "dev.cnr.format"
TAR_DIGEST = "dev.cnr.tar.digest"
"""On a layer: `sha256:` and the digest of the uncompressed tar, by which the CNR API names the package."""

EMPTY = b"{}"
"""The config blob of a manifest without one. Source: image-spec 1.1, "Guidance for an Empty Descriptor"."""

_OLD_CHART_LAYER = "application/tar+gzip"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder(order="sorted")


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What a manifest says of something else: its type, digest and size in bytes."""

    media_type: MediaType
    digest: Digest
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    data: str | None = None
    urls: tuple[str, ...] | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An image manifest (`config`, `layers`) or an index (`manifests`), as far as the registry needs it."""

    schema_version: int = 0
    media_type: MediaType | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    @property
    def kind(self) -> str | None:
        """The artifact's type: the manifest's own, else its config's. Source: OCI distribution 1.1, referrers."""
        return self.artifact_type or (self.config.media_type if self.config is not None else None)


@dataclass(frozen=True, slots=True)
class Composed:
    """A manifest that the server made, and the bytes of the config blob that it names."""

    data: bytes
    config: bytes


@dataclass(frozen=True, slots=True)
class Layer:
    """A package's gzip: digest and size in bytes of the file, and the digest of the tar in it."""

    digest: Digest
    size: int
    tar_digest: TarDigest


def helm_manifest(chart: Chart, layer: Layer, *, created_at: int, provenance: bytes | None = None) -> Composed:
    """The manifest that `helm push` would make of a chart, with an explicit media type. Times in microseconds UTC.

    `provenance` is a file that is a second layer then. Source: observed from helm; contracts/oci-helm.md section 3.
    """
    config = _encoder.encode(chart)
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST_TYPE,
        config=Descriptor(media_type=HELM_CONFIG, digest=sha256(config), size=len(config)),
        layers=(_layer(HELM_CHART_LAYER, layer), *([_provenance(provenance)] if provenance is not None else [])),
        annotations=_chart_annotations(chart, created_at),
    )
    return Composed(_encoder.encode(manifest), config)


def with_provenance(data: bytes, provenance: bytes) -> bytes:
    """A helm manifest that the server made, with this provenance in place of any other."""
    made = parse_manifest(data)
    others = tuple(layer for layer in made.layers or () if layer.media_type != PROVENANCE_LAYER)
    return _encoder.encode(msgspec.structs.replace(made, layers=(*others, _provenance(provenance))))


def provenance_manifest(subject: Descriptor, file: str, provenance: bytes) -> bytes:
    """The artifact by which the referrers API shows the provenance of a chart that a client pushed without it."""
    layer = msgspec.structs.replace(_provenance(provenance), annotations={TITLE: file})
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST_TYPE,
        artifact_type=PROVENANCE_LAYER,
        config=Descriptor(media_type=EMPTY_CONFIG, digest=sha256(EMPTY), size=len(EMPTY), data="e30="),
        layers=(layer,),
        subject=subject,
    )
    return _encoder.encode(manifest)


def _provenance(data: bytes) -> Descriptor:
    return Descriptor(media_type=PROVENANCE_LAYER, digest=sha256(data), size=len(data))


def _chart_annotations(chart: Chart, created_at: int) -> dict[str, str]:
    own = {
        TITLE: chart.name,
        VERSION: chart.version,
        DESCRIPTION: chart.description,
        URL: chart.home,
        SOURCE: chart.sources[0] if chart.sources else "",
        AUTHORS: ", ".join(_author(person.name, person.email) for person in chart.maintainers),
        CREATED: rfc3339(created_at),
    }
    theirs = {key: value for key, value in chart.annotations.items() if key not in (TITLE, VERSION)}
    return {key: value for key, value in own.items() if value.strip()} | theirs


def _author(name: str, email: str) -> str:
    return f"{name} ({email})" if email else name


def package_manifest(
    package: PackageName, release: Release, format: Format, layer: Layer, *, created_at: int
) -> Composed:
    """The manifest of a package in any format: an artifact with one layer. `created_at` in microseconds UTC.

    The layer has a file name, so that generic clients (`oras pull`) write it. Source: contracts/oci-helm.md 6.1;
    image-spec 1.1, "Guidelines for Artifact Usage".
    """
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST_TYPE,
        artifact_type=artifact_type(format),
        config=Descriptor(media_type=EMPTY_CONFIG, digest=sha256(EMPTY), size=len(EMPTY), data="e30="),
        layers=(_layer(layer_type(format), layer, title=file_name(package, release)),),
        annotations={
            TITLE: package.name,
            VERSION: release,
            CREATED: rfc3339(created_at),
            FORMAT: format,
        },
    )
    return Composed(_encoder.encode(manifest), EMPTY)


def artifact_type(format: Format) -> MediaType:
    """The type of a package's manifest, in the CNR API's `mediaType` and as OCI artifact type."""
    return MediaType(f"application/vnd.cnr.package-manifest.{format}.v1.json")


def layer_type(format: Format) -> MediaType:
    """The type of a package's gzip, in the CNR API's descriptor and as layer of a generic artifact."""
    return MediaType(f"application/vnd.cnr.package.{format}.v1.tar+gzip")


def file_name(package: PackageName, release: str) -> str:
    """The name of a package as a file. Source: contracts/cnr.md 2.10."""
    return f"{package.namespace}_{package.name}_{release}.tar.gz"


def rfc3339(at: int) -> str:
    """Microseconds UTC as `2016-11-16T17:13:07.806579Z`, always with six digits."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _layer(media_type: MediaType, layer: Layer, *, title: str | None = None) -> Descriptor:
    annotations = {TAR_DIGEST: f"sha256:{layer.tar_digest}"} | ({TITLE: title} if title else {})
    return Descriptor(media_type=media_type, digest=layer.digest, size=layer.size, annotations=annotations)


@dataclass(frozen=True, slots=True)
class Child:
    """A format of a release, and its manifest: digest, media type and bytes."""

    format: Format
    digest: Digest
    media_type: str
    data: bytes


def release_index(children: Iterable[Child], release: Release, *, subject: Child | None = None) -> bytes:
    """The index over a release's formats: helm first, the others by name; the same for any order of `children`.

    `subject` is the child that the index refers to, so that the referrers API finds it: the helm manifest. No
    `platform` is written: clients that choose by it then take the first child. Raises InvalidUsage for a child that
    is no manifest. Source: contracts/oci-helm.md 6.3.
    """
    ordered = sorted(children, key=lambda child: (child.format != HELM, child.format))
    manifest = Manifest(
        schema_version=2,
        media_type=INDEX_TYPE,
        artifact_type=RELEASE_ARTIFACT,
        manifests=tuple(_listed(child, release) for child in ordered),
        subject=_descriptor(subject) if subject is not None else None,
        annotations={VERSION: release},
    )
    return _encoder.encode(manifest)


def _listed(child: Child, release: Release) -> Descriptor:
    manifest = parse_manifest(child.data)
    title = (manifest.annotations or {}).get(TITLE)
    annotations = ({TITLE: title} if title else {}) | {VERSION: release, FORMAT: child.format}
    return msgspec.structs.replace(_descriptor(child), artifact_type=manifest.kind, annotations=annotations)


def _descriptor(child: Child) -> Descriptor:
    return Descriptor(media_type=MediaType(child.media_type), digest=child.digest, size=len(child.data))


def parse_manifest(data: bytes) -> Manifest:
    """The manifest or index in `data`; what the registry does not need is ignored. Raises InvalidUsage.

    One that is both manifest and index is refused: clients would disagree on what it is (CVE-2021-41190).
    Digests are not checked here.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidUsage(f"this is no OCI manifest: {_reason(exc)}") from None
    if manifest.manifests is not None and (manifest.layers is not None or manifest.config is not None):
        raise InvalidUsage("this is manifest and index at once: it may have layers or manifests, not both")
    return manifest


def chart_layer(manifest: Manifest) -> Descriptor | None:
    """The layer with the chart's archive, wherever it stands: helm writes layers in the order of their digests."""
    return _layer_of(manifest, HELM_CHART_LAYER, _OLD_CHART_LAYER)


def provenance_layer(manifest: Manifest) -> Descriptor | None:
    """The layer with the chart's provenance, if there is one."""
    return _layer_of(manifest, PROVENANCE_LAYER)


def _layer_of(manifest: Manifest, *types: str) -> Descriptor | None:
    return next((layer for layer in manifest.layers or () if layer.media_type in types), None)


def blobs_of(manifest: Manifest) -> list[Digest]:
    """The blobs that a manifest names: config and layers, each once."""
    named = [*([manifest.config] if manifest.config else []), *(manifest.layers or ())]
    return list(dict.fromkeys(descriptor.digest for descriptor in named))


_ELSEWHERE = ("nondistributable", "foreign")


def is_elsewhere(descriptor: Descriptor) -> bool:
    """Whether what a descriptor names need not be in the repository. Source: OCI image-spec 1.1, layers."""
    return bool(descriptor.urls) or any(word in descriptor.media_type for word in _ELSEWHERE)


def needed_blobs(manifest: Manifest) -> list[Digest]:
    """The blobs that a manifest's repository must have, each once."""
    named = [*([manifest.config] if manifest.config else []), *(manifest.layers or ())]
    return list(dict.fromkeys(descriptor.digest for descriptor in named if not is_elsewhere(descriptor)))


def _reason(exc: Exception) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)[:200]
