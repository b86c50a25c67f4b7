"""A release of a CNR server as OCI manifests: byte for byte those that a server of ours makes of it.

Source: contracts/oci-helm.md 6.1 and 6.3.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cnr.client.blob_push import send_blob
from cnr.client.cnr_side import CnrSide
from cnr.client.copy_report import CopyReport, Status
from cnr.client.errors import InvalidPackage, NotFound
from cnr.client.fetch import SIZE_LIMIT
from cnr.client.messages import Manifest
from cnr.client.oci_copy import Side
from cnr.client.oci_manifest import Fetched, read_manifest
from cnr.client.oci_packages import layer_tar_digest, release_formats
from cnr.client.oci_referrers import push
from cnr.client.unpack import LIMITS
from cnr.domain.archive import HELM, inspect
from cnr.domain.chart import helm_visible
from cnr.domain.digest import sha256
from cnr.domain.errors import CnrError
from cnr.domain.helm_shape import SpooledArchive, helm_shaped
from cnr.domain.limits import Limits
from cnr.domain.manifest import (
    EMPTY_CONFIG,
    HELM_CONFIG,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Child,
    Composed,
    Descriptor,
    Layer,
    release_index,
)
from cnr.domain.names import Format, Tag
from cnr.domain.package import compose, needs_helm_shape
from cnr.domain.version import Release, tag_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PIECE_BYTES = 1024 * 1024
_LIMITS = Limits(
    compressed_bytes=SIZE_LIMIT,
    unpacked_bytes=LIMITS.unpacked_bytes,
    members=LIMITS.members,
    ratio=100_000,
    chart_file_bytes=LIMITS.unpacked_bytes,
)
"""What the server at the other end took once is not measured again."""


@dataclass(frozen=True, slots=True)
class _Made:
    composed: Composed
    layer: Descriptor
    shaped: SpooledArchive | None


class CnrToOci:
    """Makes releases of `source` at `target`."""

    def __init__(self, source: CnrSide, target: Side, report: CopyReport) -> None:
        self._source = source
        self._target = target
        self._report = report

    def release(self, release: Release, formats: dict[Format, Manifest]) -> tuple[str, Status]:
        """Copies a release with all its formats, and sets its tag last. Raises NotFound, InvalidPackage."""
        if not formats:
            raise NotFound(f"{self._source.package} has no release {release}", status=404)
        tag = tag_of(release)
        if (known := self._there(tag, formats)) is not None:
            return known, "there"
        before = self._report.changed
        children = [self._format(release, format, manifest) for format, manifest in sorted(formats.items())]
        helm = next((child for child in children if child.format == HELM), None)
        index = self._index(release, children, helm) if len(children) > 1 else None
        root = self._fetched(helm.data) if helm else index or self._fetched(children[0].data)
        several = index is not None and self._target.takes_formats(self._source.package.repository)
        if several or self._target.client.digest(self._target.repository, tag) != root.digest:
            for fetched in [*([index] if index and several else []), root]:
                self._put_tag(tag, fetched)
        return root.digest, "copied" if self._report.changed > before else "there"

    def _there(self, tag: Tag, formats: dict[Format, Manifest]) -> str | None:
        """The digest at the tag, where that has exactly these formats with these contents."""
        client, repository = self._target.client, self._target.repository
        try:
            root = client.manifest(repository, tag)
            found = release_formats(client, repository, root)
        except NotFound:
            return None
        contents = {format: layer_tar_digest(layer) for format, layer in found.items()}
        return root.digest if contents == {name: each.content.digest for name, each in formats.items()} else None

    def point(self, tag: Tag, release: Release) -> tuple[str, Status]:
        """Points a tag at the manifest that the release's tag is at. Raises NotFound."""
        client, repository = self._target.client, self._target.repository
        root = client.manifest(repository, tag_of(release))
        if client.digest(repository, tag) == root.digest:
            return root.digest, "there"
        self._put_tag(tag, root)
        return root.digest, "copied"

    def _put_tag(self, tag: Tag, fetched: Fetched) -> None:
        self._target.client.put_manifest(self._target.repository, tag, fetched.data, fetched.media_type)
        self._report.count("manifests")

    def _fetched(self, data: bytes, media_type: str = MANIFEST_TYPE) -> Fetched:
        return read_manifest(data, media_type, whose="the manifest of this release")

    def _index(self, release: Release, children: list[Child], helm: Child | None) -> Fetched:
        index = self._fetched(release_index(children, release, subject=helm), INDEX_TYPE)
        self._push(index)
        return index

    def _push(self, fetched: Fetched) -> None:
        client, repository = self._target.client, self._target.repository
        if client.digest(repository, fetched.digest) is None:
            push(client, repository, fetched)
            self._report.count("manifests")

    def _format(self, release: Release, format: Format, manifest: Manifest) -> Child:
        with self._source.archive(release, format, manifest) as archive:
            with self._made(release, format, manifest, archive) as made:
                self._send(made, archive)
                fetched = self._fetched(made.composed.data)
                self._push(fetched)
        return Child(format, fetched.digest, MANIFEST_TYPE, fetched.data)

    @contextmanager
    def _made(self, release: Release, format: Format, manifest: Manifest, archive: Path) -> Iterator[_Made]:
        package = self._source.package
        shaped = None
        try:
            contents = inspect(_chunks(archive), _LIMITS, format)
            chart = helm_visible(contents, package.name, release)
            if chart is not None and needs_helm_shape(contents, chart):
                shaped = helm_shaped(
                    _chunks(archive),
                    contents.shape,
                    chart.name,
                    limits=_LIMITS,
                    open_spool=lambda: tempfile.TemporaryFile(dir=archive.parent),  # noqa: SIM115  # closed with what it holds
                )
            layer = shaped.layer if shaped else Layer(contents.digest, contents.size, contents.tar_digest)
            composed = compose(package, release, format, chart, layer, created_at=moment(manifest.created_at))
            kind = HELM_CONFIG if chart else EMPTY_CONFIG
            yield _Made(composed, Descriptor(media_type=kind, digest=layer.digest, size=layer.size), shaped)
        except CnrError as exc:
            raise InvalidPackage(f"{package} {release} ({format}) cannot be copied: {exc.message}") from None
        finally:
            if shaped is not None:
                shaped.close()

    def _send(self, made: _Made, archive: Path) -> None:
        client, repository = self._target.client, self._target.repository
        config = made.composed.config
        about = Descriptor(media_type=EMPTY_CONFIG, digest=sha256(config), size=len(config))
        opened = made.shaped.chunks if made.shaped else partial(_chunks, archive)
        for blob, chunks in ((about, lambda: [config]), (made.layer, opened)):
            how = send_blob(client, repository, blob, chunks)
            self._report.count(how)
            if how == "blobs":
                self._report.count("bytes", blob.size)


def _chunks(archive: Path) -> Iterator[bytes]:
    with open(archive, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def moment(text: str) -> int:
    """A server's `created_at` in microseconds UTC; the beginning of time where it cannot be read.

    So the same release always gives the same manifest. Source: contracts/cnr.md 1.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
