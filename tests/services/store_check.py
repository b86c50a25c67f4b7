"""What a deep check finds in a store at the end of a test: nothing may be lost or wrong.

Crash, race and fuzz tests end with one of these. Warnings and garbage may be there: a process that dies leaves them.
"""

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from cnr.cli.storage_deep import checked
from cnr.config import Config
from cnr.registry.check_report import RULES, CheckReport
from cnr.registry.deep_check import DeepCheck
from cnr.store.base import BlobStore, RecordStore


def in_order(settings: Mapping[str, str], *, pause_s: float = 0, but: Collection[int] = frozenset()) -> CheckReport:
    """Check the store and the lists of a server with these settings.

    It has ended, or nobody talks to it; else `pause_s` is what the check needs to tell a change from a loss. `but` are
    rules that may be broken.
    """
    config = Config.load(settings, {})
    with _keys_of_buckets(settings), ThreadPoolExecutor(1) as pool:  # the caller's thread may have an event loop
        report = pool.submit(lambda: asyncio.run(checked(config, jobs=4, pause_s=pause_s))).result()
    _judge(report, but)
    return report


@contextmanager
def _keys_of_buckets(settings: Mapping[str, str]) -> Iterator[None]:
    """Have the keys of an object store where its driver looks for them, as the server had."""
    keys = {name: value for name, value in settings.items() if name.startswith(("AWS_", "AZURE_"))}
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


CUT_OFF: Final = 4
"""The rule that a DELETE of a manifest breaks, if its server is killed before it has swept the tags on it, or a push
moves one there behind the sweep."""
REFUSED: Final = 5
"""The rule that two pushes of one manifest break that are refused at the same moment."""


async def stores_in_order(records: RecordStore, blobs: BlobStore, *, but: Collection[int] = frozenset()) -> CheckReport:
    """Check open stores that nobody writes to; rules of `but` may be broken."""
    with ThreadPoolExecutor(2) as pool:
        report = await DeepCheck(records, blobs, pool=pool, pause_s=0).run()
    _judge(report, but)
    return report


def _judge(report: CheckReport, but: Collection[int] = frozenset()) -> None:
    found = (finding for finding in report.findings if finding.rule not in but)
    errors = [finding for finding in found if RULES[finding.rule].severity == "error"]
    assert not errors, "\n".join(f"[{each.rule}] {each.where}: {each.problem}" for each in errors[:20])
