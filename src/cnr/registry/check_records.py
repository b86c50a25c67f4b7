"""Looks at one record and at what it names, each time anew: what is wrong with it at this moment.

A finding may be a torn view: whoever asks looks again, later, and only believes what stays (deep_check).
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from cnr.domain.digest import Digest
from cnr.domain.errors import DataCorrupt, InvalidUsage
from cnr.domain.manifest import Manifest, is_elsewhere, needed_blobs, parse_manifest
from cnr.domain.names import Repository
from cnr.domain.version import release_of
from cnr.registry.announce import names_of
from cnr.registry.check_bytes import StoredBytes
from cnr.registry.check_keys import PROBES, Place, place_of
from cnr.registry.check_report import Finding
from cnr.registry.references import IMAGES, INDEXES
from cnr.store import keys, records
from cnr.store.base import BlobNotFound, Record, RecordNotFound, RecordStore
from cnr.store.records import (
    AnyTag,
    BlobRecord,
    ChannelTag,
    ContentsRecord,
    FormatEntry,
    ManifestRecord,
    PlainTag,
    Pointer,
    ReferrerRecord,
    ReleaseTag,
    Repo,
    StoredFormatTooNew,
    TagRecord,
    UploadRecord,
)

_PAGE: Final = 100
Findings = AsyncIterator[Finding]


class Examiner:
    """Examines records of a store. `reached` knows which manifests of a repository tags reach."""

    def __init__(self, store: RecordStore, stored: StoredBytes) -> None:
        self._store = store
        self._bytes = stored
        self._reach: tuple[Repository, frozenset[Digest]] | None = None
        self._looks: dict[type, Any] = {
            ManifestRecord: self._manifest,
            BlobRecord: self._blob,
            ContentsRecord: self._contents,
            ReferrerRecord: self._referrer,
            UploadRecord: self._upload,
            Repo: self._package,
            ReleaseTag: self._release,
            ChannelTag: self._channel,
            PlainTag: self._plain,
        }

    async def examine(self, record: Record) -> list[Finding]:
        """What is wrong with a record as it was just read."""
        try:
            place = place_of(record.key)
            found: Any = records.decode(place.type, record.value)
        except (ValueError, DataCorrupt, StoredFormatTooNew) as exc:
            return [_left_probe(record.key) or Finding(1, record.key, str(exc))]
        wrong = [] if found.write else [Finding(2, record.key, "it carries no id of a write")]
        try:
            return wrong + [each async for each in self._wrong(record.key, place, found)]
        except (DataCorrupt, StoredFormatTooNew) as exc:
            return [*wrong, Finding(1, record.key, f"what it names cannot be read: {exc.message}")]

    async def absent(self, key: str) -> list[Finding]:
        """What is wrong with there being no record under `key`: a package that lacks its age."""
        try:
            place = place_of(key)
        except ValueError:
            return []
        return [each async for each in self._package(key, place, None)] if place.kind == "repos" else []

    def forget(self) -> None:
        """Look again what tags reach: for a second look at everything."""
        self._reach = None

    async def _wrong(self, key: str, place: Place, found: Any) -> Findings:
        if (look := self._looks.get(type(found))) is not None:
            async for each in look(key, place, found):
                yield each

    async def _release(self, key: str, place: Place, tag: ReleaseTag) -> Findings:
        for pointer in names_of(tag):
            async for each in self._pointed(key, place.repository, pointer):
                yield each
        for format, entry in tag.formats.items():
            async for each in self._served(key, place.repository, format, entry):
                yield each
        if tag.formats and release_of(place.rest) is not None:
            package = await self._read(keys.repo(place.repository), Repo)
            if package is None or package.state != "live":
                yield _package_of(place.repository, live=True)

    async def _plain(self, key: str, place: Place, tag: PlainTag) -> Findings:
        async for each in self._pointed(key, place.repository, tag.manifest):
            yield each

    async def _channel(self, key: str, place: Place, tag: ChannelTag) -> Findings:
        if all(member.tag != tag.current for member in tag.members):
            yield Finding(9, key, f"its current release {tag.current} is no member")

    async def _pointed(self, key: str, repository: Repository, pointer: Pointer) -> Findings:
        found = await self._read(keys.manifest(repository, pointer.digest), ManifestRecord)
        if found is None:
            yield Finding(4, key, f"the manifest {pointer.digest} is not there")
        elif found.born != pointer.born:
            yield Finding(4, key, f"the manifest {pointer.digest} there was born as {found.born}, not {pointer.born}")
        elif found.state != "live":
            yield Finding(6, key, f"the manifest {pointer.digest} is condemned")

    async def _served(self, key: str, repository: Repository, format: str, entry: FormatEntry) -> Findings:
        """What the CNR API serves for a format of a release."""
        contents = await self._read(keys.contents(repository, entry.tar_digest), ContentsRecord)
        if contents is None:
            yield Finding(7, key, f"format {format}: there are no contents/ for the tar {entry.tar_digest}")
            return
        blob = await self._read(keys.blob(repository, contents.digest), BlobRecord)
        if blob is None:
            yield Finding(7, key, f"format {format}: the blob {contents.digest} is not there")
            return
        if not entry.size == contents.size == blob.size:
            sizes = f"{entry.size:,}, {contents.size:,} and {blob.size:,} bytes"
            yield Finding(7, key, f"format {format}: release, contents/ and blob say {sizes}")
        for what, record in (("contents/", contents), ("blob", blob)):
            if record.state != "live":
                yield Finding(6, key, f"format {format}: {what} of the tar {entry.tar_digest} is condemned")

    async def _package(self, key: str, place: Place, package: Repo | None) -> Findings:
        live = await self._has_release(place.repository)
        if live != (package is not None and package.state == "live"):
            yield _package_of(place.repository, live=live)

    async def _has_release(self, repository: Repository) -> bool:
        prefix, after = keys.tags(repository), ""
        while page := await self._store.scan(prefix, after=after, limit=_PAGE):
            for record in page:
                tag: TagRecord = records.decode(AnyTag, record.value)
                if isinstance(tag, ReleaseTag) and tag.formats and release_of(record.key[len(prefix) :]) is not None:
                    return True
            after = page[-1].key
        return False

    async def _blob(self, key: str, place: Place, record: BlobRecord) -> Findings:
        wrong = await self._bytes.check(record, place.digest)
        if wrong is not None:
            yield Finding(3, key, wrong.problem)

    async def _manifest(self, key: str, place: Place, record: ManifestRecord) -> Findings:
        wrong = await self._bytes.check(record, place.digest)
        if wrong is not None:
            yield Finding(3, key, wrong.problem)
            return
        manifest = await self._parsed(record)
        if manifest is None:
            return
        wrong_names = [each async for each in self._named(key, place, record, manifest)]
        # what the server made and no tag reaches was being written when somebody stopped, or is about to go
        if wrong_names and (record.origin == "client" or place.digest in await self._reached(place.repository)):
            for each in wrong_names:
                yield each

    async def _named(self, key: str, place: Place, record: ManifestRecord, manifest: Manifest) -> Findings:
        subject = manifest.subject.digest if manifest.subject else None
        if subject != record.subject:
            yield Finding(13, key, f"it refers to {subject}, and its record says {record.subject}")
        elif subject is not None and not await self._is_listed(place, subject, record.born):
            yield Finding(13, key, f"it is not among the referrers of {subject}")
        async for each in self._needed(key, place, manifest):
            yield each

    async def _parsed(self, record: ManifestRecord) -> Manifest | None:
        """None for a client's own type of document: what it names was never looked for."""
        if record.media_type not in (*IMAGES, *INDEXES):
            return None
        try:
            return parse_manifest(await self._bytes.data(record))
        except InvalidUsage:
            return None  # its bytes are what its digest says, and this is how they were taken

    async def _needed(self, key: str, place: Place, manifest: Manifest) -> Findings:
        for digest in needed_blobs(manifest):
            blob = await self._read(keys.blob(place.repository, digest), BlobRecord)
            if blob is None:
                yield Finding(5, key, f"the blob {digest} is not there")
            elif blob.state != "live":
                yield Finding(6, key, f"the blob {digest} is condemned")
        for child in dict.fromkeys(each.digest for each in manifest.manifests or () if not is_elsewhere(each)):
            found = await self._read(keys.manifest(place.repository, child), ManifestRecord)
            found = found or await self._read(keys.blob(place.repository, child), BlobRecord)
            if found is None:
                yield Finding(14, key, f"the manifest {child} is not there")
            elif found.state != "live":
                yield Finding(6, key, f"the manifest {child} is condemned")

    async def _is_listed(self, place: Place, subject: Digest, born: str) -> bool:
        row = await self._read(keys.referrer(place.repository, subject, place.digest), ReferrerRecord)
        return row is not None and row.born == born

    async def _contents(self, key: str, place: Place, record: ContentsRecord) -> Findings:
        blob = await self._read(keys.blob(place.repository, record.digest), BlobRecord)
        if blob is None:
            # where a live release is of this tar, that is an error, and told there
            yield Finding(16, key, f"the blob {record.digest} is not there")
            return
        if (blob.data is None) == (blob.blob_id is None):
            return  # told with the blob
        try:
            if not await self._bytes.unpacks(blob, place.tar_digest):
                yield Finding(8, key, f"the blob {record.digest} does not unpack to this tar")
        except BlobNotFound:
            return  # told with the blob

    async def _referrer(self, key: str, place: Place, row: ReferrerRecord) -> Findings:
        found = await self._read(keys.manifest(place.repository, place.digest), ManifestRecord)
        if found is None or found.born != row.born:
            yield Finding(16, key, "the manifest that it lists is not there any more")

    async def _upload(self, key: str, place: Place, upload: UploadRecord) -> Findings:
        for part in upload.parts:
            if part.id == upload.adopted:
                continue  # it is a blob's by now, or gone with that
            size = await self._bytes.size(part.id)
            if size != part.size:
                yield Finding(15, key, f"of the part {part.id} there are {size} of {part.size:,} bytes")

    async def _reached(self, repository: Repository) -> frozenset[Digest]:
        if self._reach is None or self._reach[0] != repository:
            self._reach = (repository, frozenset(await self._reach_of(repository)))
        return self._reach[1]

    async def _reach_of(self, repository: Repository) -> set[Digest]:
        """What tags point at, and what that lists, and so on."""
        waiting = [digest async for digest in self._tagged(repository)]
        seen = set(waiting)
        while waiting:
            new = [digest for digest in await self._children(repository, waiting.pop()) if digest not in seen]
            seen.update(new)
            waiting += new
        return seen

    async def _tagged(self, repository: Repository) -> AsyncIterator[Digest]:
        prefix, after = keys.tags(repository), ""
        while page := await self._store.scan(prefix, after=after, limit=_PAGE):
            for record in page:
                for pointer in _pointers(records.decode(AnyTag, record.value)):
                    yield pointer.digest
            after = page[-1].key

    async def _children(self, repository: Repository, digest: Digest) -> list[Digest]:
        record = await self._read(keys.manifest(repository, digest), ManifestRecord)
        if record is None or record.media_type not in INDEXES:
            return []
        manifest = await self._parsed(record)
        return [child.digest for child in manifest.manifests or ()] if manifest is not None else []

    async def _read(self, key: str, kind: Any) -> Any:
        try:
            return records.decode(kind, (await self._store.get(key)).value)
        except RecordNotFound:
            return None


def _pointers(tag: TagRecord) -> Iterable[Pointer]:
    if isinstance(tag, ReleaseTag):
        return names_of(tag)
    return [tag.manifest] if isinstance(tag, PlainTag) else []


def _package_of(repository: Repository, *, live: bool) -> Finding:
    problem = "has a live release and does not say so" if live else "says that it is live, without a live release"
    return Finding(12, keys.repo(repository), f"the package {problem}")


def _left_probe(key: str) -> Finding | None:
    return Finding(16, key, "a server that started, or a check, left it") if key.startswith(PROBES) else None
