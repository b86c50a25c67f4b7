"""The four ways of a copy, by what both ends speak. Each gives steps: one reference, and what copies it.

Nothing that a step sends counts before its last write: the tag, or the CNR push, which is one step of the server.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cnr.client.blob_stream import blob_chunks
from cnr.client.cnr_side import CnrSide
from cnr.client.cnr_to_oci import CnrToOci
from cnr.client.copy_report import Status
from cnr.client.errors import BadAnswer, InvalidReference, NotFound
from cnr.client.image_reference import ImageReference
from cnr.client.oci_copy import OciCopy, Side
from cnr.client.oci_packages import layer_tar_digest, release_at, release_formats
from cnr.client.oci_referrers import is_referrers_tag
from cnr.client.unpack import tar_digest
from cnr.domain.digest import Digest
from cnr.domain.manifest import Descriptor
from cnr.domain.names import Format, Tag
from cnr.domain.version import Release, belongs_to_digest, highest, order_key, parse_channel, release_of, tag_of

Outcome = tuple[str, Status]
"""A digest, and whether something was new."""


@dataclass(frozen=True, slots=True)
class Step:
    """`reference` as the report shows it."""

    reference: str
    run: Callable[[], Outcome]


class Route(Protocol):
    """A way from one end to the other."""

    def one(self, source: ImageReference, target: ImageReference) -> Iterator[Step]:
        """What copies one reference. Raises NotFound, InvalidReference."""

    def everything(self) -> Iterator[Step]:
        """What copies all tags, or all releases and then channels, in the order of their listing."""


class OciToOci:
    """Manifests as they are."""

    def __init__(self, copy: OciCopy) -> None:
        self._copy = copy

    def one(self, source: ImageReference, target: ImageReference) -> Iterator[Step]:
        wanted = source.manifest
        if target.digest is not None:
            raise InvalidReference("the target of a copy is a tag, or nothing: its digest follows from the content")
        tag = target.tag or source.tag or (None if source.digest else Tag(wanted))
        yield Step(str(wanted), lambda: self._copy.copy(wanted, tag))

    def everything(self) -> Iterator[Step]:
        side = self._copy.source
        for tag in side.client.tags(side.repository):
            if not (self._copy.options.referrers and is_referrers_tag(tag)):
                yield Step(tag, lambda tag=tag: self._copy.copy(tag, tag))  # type: ignore[misc]


class CnrToCnr:
    """Releases with their formats; channels with their members, the current one last."""

    def __init__(self, source: CnrSide, target: CnrSide) -> None:
        self._source = source
        self._target = target

    def one(self, source: ImageReference, target: ImageReference) -> Iterator[Step]:
        release, channel = chosen(self._source, source, target)
        yield Step(release, lambda: self._release(release))
        if channel is not None:
            yield Step(channel, lambda: self._point(channel, release))

    def everything(self) -> Iterator[Step]:
        for release in sorted(self._source.releases(), key=order_key):
            yield Step(release, lambda release=release: self._release(release))  # type: ignore[misc]
        for name in sorted(self._source.channels()):
            yield Step(name, lambda name=name: self._channel(name))  # type: ignore[misc]

    def _release(self, release: Release) -> Outcome:
        formats = self._source.formats(release)
        if not formats:
            raise NotFound(f"{self._source.package} has no release {release}", status=404)
        new = [self._format(release, format) for format in formats]
        return next(iter(formats.values())).content.digest, "copied" if any(new) else "there"

    def _format(self, release: Release, format: Format) -> bool:
        manifest = self._source.formats(release)[format]
        digest = manifest.content.digest
        if self._target.has(release, format, digest):
            return False
        with self._source.archive(release, format, manifest) as archive:
            return self._target.publish(release, format, archive, tar_digest(archive), manifest)

    def _channel(self, name: str) -> Outcome:
        channel = self._source.channels()[name]
        if channel.current is None:
            raise BadAnswer(f"{self._source.client.registry} has a channel {name} without a release")
        known = self._target.channels().get(name)
        members = [each for each in channel.releases if each != channel.current]
        missing = [each for each in reversed(members) if known is None or each not in known.releases]
        new = [self._target.point(name, Release(each)) for each in [*missing, channel.current]]
        return self._digest(Release(channel.current)), "copied" if any(new) else "there"

    def _point(self, channel: str, release: Release) -> Outcome:
        return self._digest(release), "copied" if self._target.point(channel, release) else "there"

    def _digest(self, release: Release) -> str:
        """The first format's, as a release has it in the report."""
        return next((each.content.digest for each in self._source.formats(release).values()), "")


def chosen(side: CnrSide, source: ImageReference, target: ImageReference) -> tuple[Release, str | None]:
    """The release that a reference means at a CNR server, and the channel to point at it. Raises NotFound."""
    if source.digest is not None or target.digest is not None:
        raise InvalidReference("a CNR server is asked for a release or channel, not for a manifest's digest")
    release = release_of(source.tag) if source.tag else highest(side.releases())
    channel: str | None = source.tag if source.tag and release is None else None
    if channel is not None:
        known = side.channels().get(channel)
        release = Release(known.current) if known is not None and known.current else None
    if release is None:
        raise NotFound(f"{side.client.registry}/{side.package} has no release {source.tag or ''}".rstrip(), status=404)
    if target.tag is not None and target.tag != tag_of(release):
        if release_of(target.tag):
            raise InvalidReference(f"{release} cannot become another release, {release_of(target.tag)}, by a copy")
        channel = parse_channel(target.tag)
    return release, channel


class FromCnr:
    """Each release becomes the manifests that a server of ours would make; channels become tags."""

    def __init__(self, source: CnrSide, make: CnrToOci) -> None:
        self._source = source
        self._make = make

    def one(self, source: ImageReference, target: ImageReference) -> Iterator[Step]:
        release, channel = chosen(self._source, source, target)
        yield self._step(release)
        if channel is not None:
            yield Step(channel, lambda: self._make.point(Tag(channel), release))

    def _step(self, release: Release) -> Step:
        return Step(release, lambda: self._make.release(release, self._source.formats(release)))

    def everything(self) -> Iterator[Step]:
        for release in sorted(self._source.releases(), key=order_key):
            yield self._step(release)
        for name, channel in sorted(self._source.channels().items()):
            if channel.current is not None:
                current = Release(channel.current)
                yield Step(name, lambda name=name, to=current: self._make.point(Tag(name), to))  # type: ignore[misc]


class ToCnr:
    """Charts and other packages among an OCI repository's manifests become releases; other tags on them channels."""

    def __init__(self, source: Side, target: CnrSide, spool: Path) -> None:
        self._source = source
        self._target = target
        self._spool = spool

    def one(self, source: ImageReference, target: ImageReference) -> Iterator[Step]:
        if target.digest is not None:
            raise InvalidReference("a CNR server has releases and channels, and no manifests by digest")
        wanted = target.tag or source.tag
        yield Step(str(source.manifest), lambda: self._copy(source.manifest, source.tag, wanted))

    def everything(self) -> Iterator[Step]:
        tags = [tag for tag in self._source.client.tags(self._source.repository) if not belongs_to_digest(tag)]
        for tag in sorted(tags, key=lambda tag: release_of(tag) is None):
            yield Step(tag, lambda tag=tag: self._copy(tag, tag, tag))  # type: ignore[misc]

    def _copy(self, reference: Tag | Digest, tag: Tag | None, wanted: Tag | None) -> Outcome:
        root = self._source.client.manifest(self._source.repository, reference)
        formats = release_formats(self._source.client, self._source.repository, root)
        release = release_at(wanted if wanted and release_of(wanted) else tag, root)
        if not formats or release is None:
            what = "no package" if not formats else "a package that names no release"
            raise InvalidReference(f"{reference} of {self._source.repository} is {what}: a CNR server cannot have it")
        new = [self._format(release, format, layer) for format, layer in formats.items()]
        if wanted is not None and release_of(wanted) is None:
            new.append(self._target.point(parse_channel(wanted), release))
        return root.digest, "copied" if any(new) else "there"

    def _format(self, release: Release, format: Format, layer: Descriptor) -> bool:
        promised = layer_tar_digest(layer)
        if promised is not None and self._target.has(release, format, promised):
            return False
        path = self._spool / "layer"
        with open(path, "wb") as out:
            for chunk in blob_chunks(self._source.client, self._source.repository, layer):
                out.write(chunk)
        digest = tar_digest(path)
        return not self._target.has(release, format, digest) and self._target.publish(
            release, format, path, digest, None
        )
