"""`cnr storage check --deep`: everything that a store holds, and the views of this host."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click

from cnr.app import POOL_THREADS, open_stores
from cnr.cli.failures import DAMAGED
from cnr.cli.output import emit, printable, table
from cnr.cli.progress import progress
from cnr.config import Config
from cnr.registry.chart_entries import ChartEntries
from cnr.registry.check_report import KEPT, RULES, CheckReport, Finding
from cnr.registry.check_views import bring_together
from cnr.registry.deep_check import PAUSE_S, DeepCheck
from cnr.store.base import StoreRefused
from cnr.store.open import Stores
from cnr.store.views_compare import copy_views, differences
from cnr.store.views_sqlite import SqliteViews

SHOWN: Final = 20
"""Findings of one rule that are listed for a person; JSON has more."""


def run(config: Config, output: str, jobs: int) -> None:
    """Check, print what was found, and end with DAMAGED where something is lost or wrong."""
    try:
        report = asyncio.run(checked(config, jobs=jobs))
    except StoreRefused as exc:
        raise click.ClickException(str(exc)) from None
    emit(output, report.as_json(), lambda: summary(report))
    if not report.is_clean:
        raise click.exceptions.Exit(DAMAGED)


async def checked(config: Config, *, jobs: int, pause_s: float = PAUSE_S) -> CheckReport:
    """What is found in the store of `config`, and in the views of its folder. Raises as open_stores does."""
    with ThreadPoolExecutor(max(POOL_THREADS, 2 * jobs), thread_name_prefix="cnr") as pool:
        stores = await open_stores(config, pool, own_only=True)
        try:
            with progress("Checking") as begin:
                check = DeepCheck(
                    stores.records, stores.blobs, pool=pool, jobs=jobs, pause_s=pause_s, passed=begin(None)
                )
                report = await check.run()
            if report.readable:
                with tempfile.TemporaryDirectory(prefix="cnr-check-") as folder:
                    await _views(report, stores, config, Path(folder))
        finally:
            await stores.close()
    return report


async def _views(report: CheckReport, stores: Stores, config: Config, folder: Path) -> None:
    """Compare this host's views with others that are built in `folder`."""
    followed, built = folder / "followed", folder / "built"
    for each in (followed, built):
        each.mkdir()
    wrong = await asyncio.to_thread(copy_views, config.database_url, followed)
    if wrong is None:
        report.skipped.append(f"views: there are none in {config.database_url}")
        return
    name = str(config.database_url)
    if wrong:
        report.add(Finding(11, name, wrong))
        return
    charts = ChartEntries(stores.records, stores.blobs, config.limits)
    views = SqliteViews(followed), SqliteViews(built)
    try:
        await bring_together(stores.records, *views, charts)
    finally:
        for one in views:
            await one.close()
    for found in await asyncio.to_thread(lambda: list(differences(followed, built))):
        report.add(Finding(11, name, found))


def summary(report: CheckReport) -> str:
    """The report for a person: rule by rule, with what it means and what to do, then the sum."""
    lines: list[str] = []
    for number in sorted(report.found, key=lambda rule: (_ORDER.index(RULES[rule].severity), rule)):
        lines += _told(report, number)
    kinds = [[kind, f"{count:,}"] for kind, count in sorted(report.records.items())]
    lines.append(table(["RECORDS", "CHECKED"], [*kinds, ["files", f"{report.files:,}"], ["bytes", f"{report.size:,}"]]))
    lines += [printable(f"not checked: {reason}") for reason in report.skipped]
    errors, warnings, garbage = (report.count(severity) for severity in _ORDER)
    lines.append(f"{errors:,} errors, {warnings:,} warnings, {garbage:,} things that nothing needs.")
    return "\n".join(lines)


_ORDER: Final = ("error", "warning", "garbage")


def _told(report: CheckReport, number: int) -> list[str]:
    rule, count = RULES[number], report.found[number]
    found = sorted(finding for finding in report.findings if finding.rule == number)[:SHOWN]
    lines = [f"{rule.severity} [{number}] {finding.where}: {finding.problem}" for finding in found]
    if count > len(found):
        lines.append(f"  and {count - len(found):,} more (--output json shows up to {KEPT:,})")
    lines += [f"  means: {rule.means}", f"  to do: {rule.remedy}"]
    return [printable(line) for line in lines]
