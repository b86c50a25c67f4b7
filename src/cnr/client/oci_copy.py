"""From one OCI registry to another: a manifest with all that it names, then its tag.

Order is what makes a copy safe to kill: blobs before the manifest that names them, manifests of an index before the
index, the tag last. So whatever is there already is whole, and is passed over the next time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from cnr.client.blob_push import Transfers, send_blob
from cnr.client.blob_stream import blob_chunks
from cnr.client.copy_report import CopyReport, Status
from cnr.client.errors import BadAnswer, InvalidReference
from cnr.client.fetch import Progress, unseen
from cnr.client.oci import OciClient
from cnr.client.oci_manifest import Fetched, Platform, is_foreign
from cnr.client.oci_referrers import old_signature_tags, push
from cnr.domain.digest import Digest
from cnr.domain.manifest import INDEX_TYPE, RELEASE_ARTIFACT, Descriptor
from cnr.domain.names import Repository, Tag
from cnr.domain.version import release_of

DEPTH_LIMIT = 8
"""Indexes within indexes, and referrers of referrers."""
MANIFESTS_LIMIT = 20_000
"""Manifests that one reference may lead to."""


@dataclass(frozen=True, slots=True)
class Side:
    """A repository at one registry. `ours`: it has the CNR API too, and a release's index by content negotiation."""

    client: OciClient
    repository: Repository
    ours: bool = False

    def takes_formats(self, origin: Repository) -> bool:
        """Whether a release of `origin` keeps all its formats here: a chart only where its name is the repository's."""
        return self.ours and origin.rpartition("/")[2] == self.repository.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Options:
    """How to copy: parallel transfers, whether with what refers to a manifest, and which platform of an index."""

    jobs: int = 4
    referrers: bool = False
    platform: str | None = None
    progress: Progress = unseen


@dataclass
class OciCopy:
    """Copies from `source` to `target`, and counts in `report`."""

    source: Side
    target: Side
    options: Options
    report: CopyReport
    _there: set[Digest] = field(default_factory=set)

    def copy(self, reference: Tag | Digest, tag: Tag | None) -> tuple[Digest, Status]:
        """Copies what `reference` names, and points `tag` at it. Returns its digest, and whether anything was new.

        Raises what the clients raise; then `tag` is as it was, and what was sent stays for the next attempt.
        """
        before = self.report.changed
        root = self._chosen(self.source.client.manifest(self.source.repository, reference))
        known = tag is not None and self.target.client.digest(self.target.repository, tag) == root.digest
        self._closure(root, 0, there=known)
        index = self._release_index(reference)
        if index is not None:
            self._closure(index, 0)
        if tag is not None and not (known and self._has_formats(tag, index)):
            self._tag(root, index, tag)
        if self.options.referrers:
            self._old_signatures(root)
        return root.digest, "copied" if self.report.changed > before else "there"

    def _tag(self, root: Fetched, index: Fetched | None, tag: Tag) -> None:
        """A registry of ours takes a release's formats from its index, and then the manifest that the tag is for."""
        client, repository = self.target.client, self.target.repository
        for fetched in [*([index] if index and self._takes_formats() else []), root]:
            stored = client.put_manifest(repository, tag, fetched.data, fetched.media_type)
            algorithm = fetched.digest.partition(":")[0]
            if stored.digest.startswith(algorithm + ":") and stored.digest != fetched.digest:
                raise BadAnswer(f"{client.registry} says that it stored {stored.digest} instead of {fetched.digest}")
        self.report.count("manifests")

    def _chosen(self, root: Fetched) -> Fetched:
        """`root`, or of an index the manifest for the wanted platform."""
        if self.options.platform is None or not root.is_index:
            return root
        found = [digest for digest, platform in root.platforms().items() if _matches(platform, self.options.platform)]
        if not found:
            known = ", ".join(sorted({str(platform) for platform in root.platforms().values()})) or "none"
            raise InvalidReference(f"{root.digest} has no {self.options.platform}: its platforms are {known}")
        return self.source.client.manifest(self.source.repository, found[0])

    def _release_index(self, reference: Tag | Digest) -> Fetched | None:
        """The index over the formats of a release at a registry of ours."""
        if not self.source.ours or ":" in reference or release_of(reference) is None:
            return None
        index = self.source.client.manifest(self.source.repository, reference, accept=INDEX_TYPE)
        return index if index.is_index and index.manifest.artifact_type == RELEASE_ARTIFACT else None

    def _takes_formats(self) -> bool:
        return self.target.takes_formats(self.source.repository)

    def _has_formats(self, tag: Tag, index: Fetched | None) -> bool:
        """Whether a release at a registry of ours has all its formats: a request before that for the tag set them."""
        if index is None or not self._takes_formats():
            return True
        client, repository = self.target.client, self.target.repository
        return client.manifest(repository, tag, accept=INDEX_TYPE).digest == index.digest

    def _closure(self, fetched: Fetched, depth: int, *, there: bool = False) -> bool:
        """Copies a manifest after all that it names, then what refers to it. Returns whether it is new there."""
        if fetched.digest in self._there:
            return False
        if depth > DEPTH_LIMIT or len(self._there) >= MANIFESTS_LIMIT:
            raise BadAnswer(f"{fetched.digest} of {self.source.client.registry} leads to too many manifests")
        client, repository = self.target.client, self.target.repository
        present = there or client.digest(repository, fetched.digest) is not None
        if not present or self.options.referrers:
            for child in fetched.manifest.manifests or ():
                self._closure(self._child(child), depth + 1)
        if not present:
            self._blobs(fetched)
            push(client, repository, fetched)
            self.report.count("manifests")
        self._there.add(fetched.digest)
        if self.options.referrers:
            self._referrers(fetched.digest, depth)
        return not present

    def _child(self, descriptor: Descriptor) -> Fetched:
        return self.source.client.manifest(self.source.repository, descriptor.digest)

    def _referrers(self, subject: Digest, depth: int) -> None:
        """Copies what refers to `subject`, and lists what is there unlisted since a copy was killed in between."""
        listed = self.source.client.referrers(self.source.repository, subject)
        if not listed:
            return
        known = {each.digest for each in self.target.client.referrers(self.target.repository, subject)}
        for descriptor in listed:
            referrer = self._child(descriptor)
            if referrer.subject != subject:
                raise BadAnswer(f"{self.source.client.registry} lists {descriptor.digest}, which refers to another")
            if self._closure(referrer, depth + 1):
                self.report.count("referrers")
            elif descriptor.digest not in known:
                push(self.target.client, self.target.repository, referrer)
                self.report.count("referrers")

    def _old_signatures(self, root: Fetched) -> None:
        """Signatures and the like that stand at tags made of a digest. Source: observed from cosign 2."""
        for subject in [root.digest, *(child.digest for child in root.manifest.manifests or ())]:
            for tag in old_signature_tags(subject):
                found = self.source.client.digest(self.source.repository, tag)
                if found is not None and found != self.target.client.digest(self.target.repository, tag):
                    fetched = self.source.client.manifest(self.source.repository, tag)
                    self._closure(fetched, 0)
                    self._tag(fetched, None, tag)

    def _blobs(self, fetched: Fetched) -> None:
        """Sends the manifest's blobs, several at once."""
        wanted = {blob.digest: blob for blob in self._named_blobs(fetched)}
        transfers = Transfers(self.options.jobs)
        transfers.run([partial(self._blob, transfers, blob) for blob in wanted.values()])

    def _named_blobs(self, fetched: Fetched) -> list[Descriptor]:
        manifest = fetched.manifest
        foreign = [layer for layer in manifest.layers or () if is_foreign(layer)]
        for layer in foreign:
            self.report.note(f"{layer.digest} is kept elsewhere by its manifest and was not copied")
        layers = [layer for layer in manifest.layers or () if not is_foreign(layer)]
        return [*([manifest.config] if manifest.config else []), *layers]

    def _blob(self, transfers: Transfers, blob: Descriptor) -> None:
        source, target = self.source, self.target

        def chunks() -> Iterator[bytes]:
            report = self.options.progress(blob.size)
            return transfers.through(blob_chunks(source.client, source.repository, blob, report))

        same = source.client.registry == target.client.registry and source.repository != target.repository
        origin = source.repository if same else None
        how = send_blob(target.client, target.repository, blob, chunks, mount_from=origin)
        self.report.count(how)
        if how == "blobs":
            self.report.count("bytes", blob.size)


def _matches(platform: Platform, wanted: str) -> bool:
    text = str(platform)
    return text == wanted or text.startswith(wanted + "/")
