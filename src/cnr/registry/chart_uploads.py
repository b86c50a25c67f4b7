"""Charts and provenance files as ChartMuseum's clients push them. Source: contracts/oci-helm.md 4, 5, 6.4 (6)."""

from contextlib import suppress
from typing import Final

import msgspec

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.archive import CHART, HELM, REQUIREMENTS, PackageContents, inspect
from cnr.domain.chart import helm_chart, parse_chart
from cnr.domain.chart_version import parse_chart_version
from cnr.domain.digest import Digest
from cnr.domain.errors import InvalidArchive, ProvenanceExists, StoreUnavailable
from cnr.domain.manifest import (
    EMPTY,
    MANIFEST_TYPE,
    Descriptor,
    MediaType,
    provenance_layer,
    provenance_manifest,
    with_provenance,
)
from cnr.domain.names import PackageName, Repository, parse_repository, parse_tag, require_writable
from cnr.domain.policy import Policy
from cnr.domain.provenance import Provenance
from cnr.domain.version import Release, tag_of
from cnr.registry.blobs import Blobs
from cnr.registry.charts import Charts, StoredChart
from cnr.registry.core import Core, Source
from cnr.registry.draft import Part, Push, part_of
from cnr.registry.images import Images
from cnr.registry.manifests import Manifests
from cnr.registry.policies import Policies
from cnr.registry.publish import Publisher
from cnr.registry.quotas import Quotas
from cnr.registry.references import read_manifest
from cnr.registry.release import Composer, FactsGone, Formats, Moved
from cnr.registry.rights import require

_ATTEMPTS: Final = 5
"""How often a provenance is added again to a release that changed meanwhile."""


class ChartUploads:
    """Publishes charts, and adds provenance to those that are there."""

    def __init__(
        self,
        core: Core,
        policies: Policies,
        publisher: Publisher,
        composer: Composer,
        charts: Charts,
        blobs: Blobs,
        manifests: Manifests,
        images: Images,
    ) -> None:
        self._core = core
        self._policies = policies
        self._publisher = publisher
        self._composer = composer
        self._charts = charts
        self._blobs = blobs
        self._manifests = manifests
        self._images = images
        self._quotas = Quotas(core, policies)

    async def publish(
        self,
        namespace: str,
        source: Source,
        *,
        provenance: Provenance | None = None,
        force: bool = False,
        by: Grant = EVERYTHING,
    ) -> tuple[Repository, Release]:
        """Publish the archive as what its Chart.yaml says it is, with its provenance: one swap, all or nothing.

        Returns what that is. Raises InvalidArchive (no chart, one that helm cannot load, another chart's provenance),
        InvalidName, TooLarge, ReleaseExists, NameTaken, and Forbidden and FormatRefused by the rules of the path, all
        before anything is written.
        """
        limits = self._core.limits
        contents = await self._core.work(source.size, lambda: inspect(source.chunks(), limits, HELM))
        name, version = _described(contents)
        repository = writable_chart(namespace, name)
        parse_tag(tag_of(version), what="version's tag")
        if provenance is not None:
            _require_about(provenance, name, version, contents.digest)
        package = PackageName.stored_in(repository)
        push = Push(
            package,
            version,
            HELM,
            source,
            contents,
            await self._publisher.now(package),
            exact=True,
            provenance=provenance.data if provenance is not None else None,
        )
        await self._publisher.publish_push(push, force=force, by=by)
        return repository, version

    async def attach(
        self, namespace: str, provenance: Provenance, *, force: bool = False, by: Grant = EVERYTHING
    ) -> None:
        """Add a provenance file to the chart that it is about.

        The manifest is made anew with it where the server made it, and the tag moves; one that a client pushed stays as
        it is, and the provenance refers to it. Raises InvalidArchive where no such chart is stored, or other bytes are;
        ProvenanceExists; Forbidden where a rule keeps this, or the force of it, from `by`.
        """
        repository = writable_chart(namespace, provenance.name)
        policy = await self._policies.of(repository)
        require("push", policy, by, repository)
        if force and policy.may_force:
            require("force", policy, by, repository)
        for _ in range(_ATTEMPTS):
            chart = await self._charts.find(repository, provenance.version)
            if chart is None:
                raise InvalidArchive(
                    f"there is no chart {provenance.name} {provenance.version} for this provenance file"
                )
            _require_about(provenance, chart.package.name, chart.release, chart.layer.digest)
            await self._require_none(chart, force and policy.may_force)
            await self._quotas.require_room(repository, size=len(provenance.data))
            with suppress(FactsGone, Moved):
                if chart.record.origin == "server":
                    await self._remake(chart, provenance, policy)
                else:
                    await self._refer(chart, provenance)
                return
        raise StoreUnavailable("the chart changed several times over; try again")

    async def _require_none(self, chart: StoredChart, force: bool) -> None:
        fixed = chart.record.origin != "server" and provenance_layer(chart.manifest) is not None
        if fixed or (not force and await self._charts.provenance(chart) is not None):
            raise ProvenanceExists(
                f"{chart.file}.prov is there already", package=str(chart.package), release=chart.release
            )

    async def _remake(self, chart: StoredChart, provenance: Provenance, policy: Policy) -> None:
        """The manifest with a layer more, and the release with that manifest. Raises Moved, FactsGone."""
        since = self._core.clock()
        before = await self._manifests.data_if_there(chart.record, chart.entry.manifest.digest)
        if before is None:
            raise Moved("the chart was deleted")
        data = with_provenance(before, provenance.data)
        await self._store(chart.repository, part_of(provenance.data))
        pointer = (await self._manifests.store(chart.repository, data, MANIFEST_TYPE, origin="server")).pointer

        def recipe(formats: Formats) -> Formats:
            now = formats.get(HELM)
            if now is None or now.manifest != chart.entry.manifest:
                raise Moved("the chart was published anew")
            return {**formats, HELM: msgspec.structs.replace(now, manifest=pointer)}

        await self._composer.recompose(chart.package, chart.release, recipe, policy, touched_at=since)

    async def _refer(self, chart: StoredChart, provenance: Provenance) -> None:
        """A manifest of its own, which the referrers API lists."""
        for data in (provenance.data, EMPTY):
            await self._store(chart.repository, part_of(data))
        subject = Descriptor(
            media_type=MediaType(chart.record.media_type), digest=chart.entry.manifest.digest, size=chart.record.size
        )
        pushed_part = part_of(provenance_manifest(subject, f"{chart.file}.prov", provenance.data))
        data = b"".join(pushed_part.source.chunks())
        pushed = read_manifest(data, MANIFEST_TYPE, pushed_part.digest)
        await self._images.put_by_digest(chart.repository, pushed, [])
        await self._charts.detach(chart, keep=pushed.digest)

    async def _store(self, repository: Repository, part: Part) -> None:
        await self._blobs.store(repository, part.digest, part.size, part.source)


def writable_chart(namespace: str, name: str) -> Repository:
    """The repository of a chart that is pushed. Raises InvalidName."""
    repository = parse_repository(f"{namespace}/{name}" if namespace else name)
    require_writable(repository)
    return repository


def _described(contents: PackageContents) -> tuple[str, Release]:
    """Name and version of the chart in an archive that helm can load. Raises InvalidArchive, InvalidRelease."""
    if CHART not in contents.files:
        raise InvalidArchive(f"this is no chart: there is no {CHART} in its top folder")
    chart = parse_chart(contents.files[CHART], contents.files.get(REQUIREMENTS))
    helm_chart(contents, chart.name, chart.version)
    if not contents.shape.loadable:
        raise InvalidArchive("helm could not load the archive: a chart's files lie in one top folder")
    return chart.name, parse_chart_version(chart.version)


def _require_about(provenance: Provenance, name: str, version: Release, digest: Digest) -> None:
    if (provenance.name, provenance.version) != (name, version):
        raise InvalidArchive(
            f"the provenance file is about {provenance.name[:100]} {provenance.version}, the chart is {name} {version}"
        )
    if provenance.digest != digest:
        raise InvalidArchive("the provenance file is about other bytes: the archive has another sha256")
