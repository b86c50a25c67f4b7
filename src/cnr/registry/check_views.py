"""Brings two projections to one place of the feed, to be compared: one that followed it, one built from a scan."""

from typing import Final

from cnr.domain.errors import StoreUnavailable
from cnr.registry.catalog import Catalog
from cnr.registry.chart_entries import ChartEntries
from cnr.store.base import Cursor, CursorLost, RecordStore
from cnr.store.views import ViewStore

ATTEMPTS: Final = 5
"""How often the feed may be lost on the way."""
PAGES: Final = 10_000
"""Pages of the feed that are followed before a store counts as too busy."""


async def bring_together(records: RecordStore, followed: ViewStore, built: ViewStore, charts: ChartEntries) -> None:
    """Build `built` from a scan, and give both all changes up to the same cursor.

    Raises StoreUnavailable for a store that is written to faster than this can read.
    """
    catalog = Catalog(records, followed, charts)
    for _ in range(ATTEMPTS):
        await catalog.sync()
        since = await followed.cursor()
        assert since is not None
        await built.rebuild(catalog.everything(), since=await built.cursor(), until=since)
        try:
            await _follow(records, catalog, since, (followed, built))
        except CursorLost:
            continue
        return
    raise StoreUnavailable("the feed is lost again and again")


async def _follow(records: RecordStore, catalog: Catalog, since: Cursor, both: tuple[ViewStore, ViewStore]) -> None:
    """Both get the very same changes. What the scan saw of the newest is in one of them already, and comes again."""
    for _ in range(PAGES):
        changed, until = await records.changes(since)
        changes = await catalog.changes_of(changed)
        for views in both:
            await views.apply(changes, since=since, until=until)
        if until == since:
            return
        since = until
    raise StoreUnavailable("the store is written to faster than it can be read: check its views later")
