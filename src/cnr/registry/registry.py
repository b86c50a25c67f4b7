"""The registry: one object that every protocol adapter works with."""

from cnr.registry.blob_deletes import BlobDeletes
from cnr.registry.blobs import Blobs
from cnr.registry.channels import Channels
from cnr.registry.chart_files import ChartFiles
from cnr.registry.chart_index import ChartIndexes
from cnr.registry.chart_selection import ChartSelections
from cnr.registry.chart_uploads import ChartUploads
from cnr.registry.charts import Charts
from cnr.registry.core import Core
from cnr.registry.images import Images
from cnr.registry.listing import Listing
from cnr.registry.manifests import Manifests
from cnr.registry.packages import Packages
from cnr.registry.policies import Policies
from cnr.registry.publish import Publisher
from cnr.registry.pushed_formats import PushedFormats
from cnr.registry.quotas import Quotas
from cnr.registry.readiness import Readiness
from cnr.registry.references import References
from cnr.registry.release import Composer
from cnr.registry.retag import Retagger
from cnr.registry.tags import Tags
from cnr.registry.uploads import Uploads
from cnr.registry.yanks import Yanks


class Registry:
    """All rules over one pair of stores and their views."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.limits = core.limits
        self.catalog = core.catalog
        self._readiness = Readiness(core.blobs)
        self.policies = Policies(core)
        self.tags = Tags(core)
        self.quotas = Quotas(core, self.policies)
        self.blobs = Blobs(core, self.quotas)
        self.manifests = Manifests(core, self.blobs)
        composer = Composer(core, self.tags, self.blobs, self.manifests)
        self.packages = Packages(core, self.policies, self.tags, self.blobs, composer)
        self.publisher = Publisher(core, self.policies, self.tags, self.blobs, self.manifests, composer)
        self.channels = Channels(core, self.policies, self.tags)
        self.uploads = Uploads(core, self.blobs, self.quotas)
        self.blob_deletes = BlobDeletes(core, self.policies, self.blobs, self.manifests, self.tags)
        self.listing = Listing(core, self.tags, self.manifests)
        formats = PushedFormats(core, self.blobs, self.manifests)
        retag = Retagger(core, self.tags, self.manifests, formats, composer)
        references = References(self.blobs, self.manifests)
        self.images = Images(core, self.policies, self.tags, self.manifests, references, retag)
        self.charts = Charts(self.tags, self.blobs, self.manifests, self.packages, self.listing, self.images)
        self.yanks = Yanks(core, self.policies)
        self.chart_indexes = ChartIndexes(core)
        self.chart_selections = ChartSelections(core, self.chart_indexes)
        self.chart_files = ChartFiles(core, self.charts)
        self.chart_uploads = ChartUploads(
            core, self.policies, self.publisher, composer, self.charts, self.blobs, self.manifests, self.images
        )

    async def ready(self) -> None:
        """Raises StoreUnavailable while the stores or the views cannot be used."""
        await self.catalog.sync()
        await self._readiness.check()
