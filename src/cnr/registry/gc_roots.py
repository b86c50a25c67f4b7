"""What is in use in a repository: scans that garbage collection marks from.

Each scan shows every record that was present throughout it, so a name that was written before the scan began and
still stands is seen.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import DataCorrupt, InvalidUsage
from cnr.domain.manifest import Manifest, blobs_of, parse_manifest
from cnr.domain.names import Repository
from cnr.registry.announce import names_of
from cnr.registry.manifests import Manifests
from cnr.registry.references import IMAGES, INDEXES
from cnr.store import keys, records
from cnr.store.base import BlobNotFound, Record, RecordNotFound, RecordStore
from cnr.store.records import AnyTag, ContentsRecord, DeletedTag, ManifestRecord, PlainTag, Pointer, ReleaseTag

PAGE = 200
"""Records of a page; a page has at most 1 MiB of them."""
_KINDS = (keys.TAGS, keys.MANIFESTS, keys.BLOBS, keys.CONTENTS, keys.REFERRERS)
_LAST = "~"
"""Above every tag and digest."""


async def each(store: RecordStore, prefix: str) -> AsyncIterator[Record]:
    """The records under `prefix`, page by page; requests have their turn before each."""
    after = ""
    await asyncio.sleep(0)
    while found := await store.scan(prefix, after=after, limit=PAGE):
        for record in found:
            yield record
        after = found[-1].key
        await asyncio.sleep(0)


async def repositories(store: RecordStore) -> AsyncIterator[Repository]:
    """Every repository that has a record garbage collection may look at, in byte order of the key, each once."""
    after = dict.fromkeys(_KINDS, "")
    heads: dict[str, str] = {}
    while True:
        for kind in _KINDS:
            if kind in after and kind not in heads:
                found = await store.scan(kind, after=after[kind], limit=1)
                if found:
                    heads[kind] = found[0].key.split("/")[1] + "/"
                else:
                    del after[kind]
        if not heads:
            return
        first = min(heads.values())
        yield keys.split(keys.TAGS + first).repository
        for kind in [kind for kind, head in heads.items() if head == first]:
            after[kind] = f"{kind}{first}{_LAST}"
            del heads[kind]


@dataclass(slots=True)
class Named:
    """What tags and manifests of one repository name. `tagged`: what belongs to a tag, where that was asked for."""

    pointers: set[Pointer] = field(default_factory=set)
    tars: set[TarDigest] = field(default_factory=set)
    manifests: set[Digest] = field(default_factory=set)
    blobs: set[Digest] = field(default_factory=set)
    tagged: set[Digest] = field(default_factory=set)

    def names(self, kind: str, rest: str, born: str) -> bool:
        """Whether a tag or another manifest names what is under this key."""
        if kind == "manifests":
            return rest in self.manifests or Pointer(Digest(rest), born) in self.pointers
        return rest in (self.tars if kind == "contents" else self.blobs)


@dataclass(slots=True)
class _Graph:
    """Who names whom among manifests, and who stays by itself."""

    staying: set[Digest] = field(default_factory=set)
    named: dict[Digest, list[Digest]] = field(default_factory=dict)
    referrers: dict[Digest, list[Digest]] = field(default_factory=dict)

    def add(self, digest: Digest, children: Iterable[Digest], subject: Digest | None, *, made: bool) -> None:
        """A manifest. One that the server `made` belongs to its release's tag alone, not to what it refers to."""
        self.named[digest] = [*children, *([subject] if subject else [])]
        if subject is not None and not made:
            self.referrers.setdefault(subject, []).append(digest)

    def reached(self, roots: Iterable[Digest]) -> set[Digest]:
        """`roots` and what belongs to them: what they name, what refers to them, and so on."""
        waiting = list(roots)
        seen = set(waiting)
        while waiting:
            digest = waiting.pop()
            near = (*self.named.get(digest, ()), *self.referrers.get(digest, ()))
            new = {each for each in near if each not in seen}
            seen |= new
            waiting += new
        return seen

    def referrers_of(self, subjects: Collection[Digest]) -> Iterable[Digest]:
        return (each for subject in subjects for each in self.referrers.get(subject, ()))


class Roots:
    """Marks what is in use. `without` are manifests and contents to leave out, as a dry run has removed them.

    `stays` says whether a manifest stays even if nothing names it. Without it no referrer is looked after, because
    all that clients pushed stay anyway; with it, a referrer of what stays is in use, as a signature is.
    """

    def __init__(
        self,
        store: RecordStore,
        manifests: Manifests,
        repository: Repository,
        stays: Callable[[ManifestRecord], bool] | None = None,
    ) -> None:
        self._store = store
        self._manifests = manifests
        self._repository = repository
        self._stays = stays

    async def of_manifests(self, without: Collection[str] = ()) -> Named:
        """What tags name, and manifests of manifests (an index its children, a referrer its subject)."""
        named = Named()
        async for record in each(self._store, keys.tags(self._repository)):
            _add_tag(named, records.decode(AnyTag, record.value))
        await self._add_manifests(named, without)
        return named

    async def of_blobs(self, without: Collection[str] = ()) -> Named:
        """The blobs that a manifest names, or `contents/`: both go before what they name."""
        named = Named()
        await self._add_manifests(named, without)
        async for record in each(self._store, keys.all_contents(self._repository)):
            if record.key not in without:
                contents: ContentsRecord = records.decode(ContentsRecord, record.value)
                named.blobs.add(contents.digest)
        return named

    async def _add_manifests(self, named: Named, without: Collection[str]) -> None:
        graph = _Graph()
        async for record in each(self._store, keys.manifests(self._repository)):
            stored: ManifestRecord = records.decode(ManifestRecord, record.value)
            if record.key not in without and (manifest := await self._parsed(record, stored)) is not None:
                children = [child.digest for child in manifest.manifests or ()]
                subject = manifest.subject.digest if manifest.subject else None
                named.blobs.update(blobs_of(manifest), children)  # an index may name blobs too
                named.manifests.update(children, [subject] if subject else ())
                if self._stays is not None:
                    digest = Digest(keys.split(record.key).rest)
                    graph.add(digest, children, subject, made=stored.origin == "server")
                    graph.staying.update([digest] if self._stays(stored) else ())
        if self._stays is not None:
            named.tagged = graph.reached(pointer.digest for pointer in named.pointers)
            named.manifests.update(graph.referrers_of(graph.reached(named.tagged | graph.staying)))

    async def _parsed(self, record: Record, stored: ManifestRecord) -> Manifest | None:
        """The manifest in a record; None if it was deleted meanwhile. Raises DataCorrupt."""
        try:
            return parse_manifest(await self._manifests.data(stored, Digest(keys.split(record.key).rest)))
        except InvalidUsage:
            if stored.media_type in (*IMAGES, *INDEXES):
                raise
            return Manifest()  # a client's own type of document: what it names was never looked for
        except BlobNotFound:
            if await _changed(self._store, record):
                return None
            raise DataCorrupt(f"the bytes of {record.key} are gone") from None


async def _changed(store: RecordStore, record: Record) -> bool:
    try:
        return (await store.get(record.key)).version != record.version
    except RecordNotFound:
        return True


def _add_tag(named: Named, record: records.TagRecord) -> None:
    if isinstance(record, ReleaseTag):
        named.pointers.update(names_of(record))
        named.tars.update(entry.tar_digest for entry in record.formats.values())
    if isinstance(record, PlainTag):
        named.pointers.add(record.manifest)
    if isinstance(record, ReleaseTag | DeletedTag) and record.announced is not None:
        named.pointers.update(record.announced.manifests)
        named.tars.update(record.announced.contents)
