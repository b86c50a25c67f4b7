"""A package at a CNR server, as copies read and write it: patiently, and with every digest checked."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnr.client.cnr import CnrClient
from cnr.client.errors import BadAnswer, Exists, NotFound
from cnr.client.fetch import Content, Progress, download
from cnr.client.messages import Channel, Manifest
from cnr.client.patience import Patience
from cnr.domain.digest import TarDigest, parse_tar_digest
from cnr.domain.errors import BadInput
from cnr.domain.names import Format, PackageName, parse_format
from cnr.domain.version import Release, parse_channel, parse_release


class CnrSide:
    """One package at one server. Not for several threads."""

    def __init__(self, client: CnrClient, package: PackageName, patience: Patience, progress: Progress) -> None:
        self.client = client
        self.package = package
        self._patience = patience
        self._progress = progress
        self._channels: dict[str, Channel] | None = None

    def releases(self) -> dict[Release, dict[Format, Manifest]]:
        """All releases with their formats. Raises NotFound, BadAnswer."""
        found: dict[Release, dict[Format, Manifest]] = {}
        for manifest in self._patience.run(lambda: self.client.releases(self.package)):
            release, format = self._named(manifest)
            found.setdefault(release, {})[format] = manifest
        return found

    def formats(self, release: Release) -> dict[Format, Manifest]:
        """The formats of one release; none where it, or the package, is not there."""
        try:
            found = self._patience.run(lambda: self.client.manifests(self.package, release))
        except NotFound:
            return {}
        return {self._named(manifest)[1]: manifest for manifest in found}

    def _named(self, manifest: Manifest) -> tuple[Release, Format]:
        try:
            parse_tar_digest(manifest.content.digest)
            return parse_release(manifest.release), parse_format(manifest.media_type)
        except BadInput as exc:
            raise BadAnswer(f"{self.client.registry} has {self.package} with what cannot be: {exc.message}") from None

    def channels(self) -> dict[str, Channel]:
        """The channels by name; read once. None where the package is not there."""
        if self._channels is None:
            try:
                found = self._patience.run(lambda: self.client.channels(self.package))
                self._channels = {parse_channel(channel.name): channel for channel in found}
            except NotFound:
                self._channels = {}
            except BadInput as exc:
                raise BadAnswer(f"{self.client.registry} has a channel that cannot be: {exc.message}") from None
        return self._channels

    @contextmanager
    def archive(self, release: Release, format: Format, manifest: Manifest) -> Iterator[Path]:
        """The package's file, its size and tar digest checked; gone afterwards. Raises Damaged, NotFound."""
        digest = parse_tar_digest(manifest.content.digest)
        content = Content(self.package, digest, manifest.content.size, release, format)
        with tempfile.TemporaryDirectory(prefix="cnr-copy-") as folder:
            path = Path(folder) / "archive"

            def fetch() -> None:
                path.unlink(missing_ok=True)
                download(self.client, content, path, self._progress)

            self._patience.run(fetch)
            yield path

    def publish(
        self, release: Release, format: Format, archive: Path, digest: TarDigest, about: Manifest | None
    ) -> bool:
        """Publishes the file; False where a push with a lost answer had done so. Raises Exists for other content."""
        metadata = about.metadata if about is not None and isinstance(about.metadata, dict) else None

        def push() -> bool:
            size = archive.stat().st_size
            with open(archive, "rb") as source:
                try:
                    report = self._progress(size)
                    self.client.push(
                        self.package, release, format, source, size, metadata=metadata or None, report=report
                    )
                except Exists:
                    if self.has(release, format, digest):
                        return False
                    raise
            return True

        return self._patience.run(push)

    def has(self, release: Release, format: Format, digest: TarDigest | str) -> bool:
        """Whether the release is there in this format with this content. Raises Exists where its content is another."""
        found = self.formats(release).get(format)
        if found is None:
            return False
        if found.content.digest != digest:
            raise Exists(
                f"{self.client.registry}/{self.package} has {release} ({format}) with other content:"
                f" {found.content.digest}, not {digest}",
                status=409,
            )
        return True

    def point(self, channel: str, release: Release) -> bool:
        """Makes `release` the channel's current one; False where it is."""
        known = self.channels().get(channel)
        if known is not None and known.current == release:
            return False
        self.channels()[channel] = self._patience.run(
            lambda: self.client.add_to_channel(self.package, channel, release)
        )
        return True
