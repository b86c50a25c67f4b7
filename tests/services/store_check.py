"""What a deep check finds in a store at the end of a test: nothing may be lost or wrong.

Crash, race and fuzz tests end with one of these. Warnings and garbage may be there: a process that dies leaves them.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cnr.cli.storage_deep import checked
from cnr.config import Config
from cnr.registry.check_report import RULES, CheckReport
from cnr.registry.deep_check import DeepCheck
from cnr.store.base import BlobStore, RecordStore


def in_order(settings: Mapping[str, str]) -> CheckReport:
    """Check the store and the lists of a server with these settings, which has ended, or to which nobody talks."""
    config = Config.load(settings, {})
    with ThreadPoolExecutor(1) as pool:  # the caller's thread may have an event loop
        report = pool.submit(partial(asyncio.run, checked(config, jobs=4, pause_s=0))).result()
    _judge(report)
    return report


async def stores_in_order(records: RecordStore, blobs: BlobStore) -> CheckReport:
    """Check open stores that nobody writes to."""
    with ThreadPoolExecutor(2) as pool:
        report = await DeepCheck(records, blobs, pool=pool, pause_s=0).run()
    _judge(report)
    return report


def _judge(report: CheckReport) -> None:
    errors = [finding for finding in report.findings if RULES[finding.rule].severity == "error"]
    assert not errors, "\n".join(f"[{each.rule}] {each.where}: {each.problem}" for each in errors[:20])
