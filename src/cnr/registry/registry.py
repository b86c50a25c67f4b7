"""The registry: one object that every protocol adapter works with."""

from cnr.registry.blobs import Blobs
from cnr.registry.channels import Channels
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.registry.packages import Packages
from cnr.registry.publish import Publisher
from cnr.registry.release import Composer
from cnr.registry.tags import Tags


class Registry:
    """All rules over one pair of stores and their views."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.limits = core.limits
        self.catalog = core.catalog
        self.tags = Tags(core)
        self.blobs = Blobs(core)
        self.manifests = Manifests(core, self.blobs)
        composer = Composer(core, self.tags, self.blobs, self.manifests)
        self.packages = Packages(core, self.tags, self.blobs, composer)
        self.publisher = Publisher(core, self.tags, self.blobs, self.manifests, composer)
        self.channels = Channels(core, self.tags)

    async def ready(self) -> None:
        """Raises StoreUnavailable while the stores or the views cannot be used."""
        await self.catalog.sync()
