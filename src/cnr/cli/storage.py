"""`cnr storage`: look after a store. Works on the store itself, beside a running server."""

import time
from collections.abc import Mapping
from datetime import timedelta

import click
import msgspec

from cnr.app import random_ids
from cnr.cli import storage_deep, storage_forget, storage_migrate, storage_upgrade
from cnr.cli.output import emit, printable, table
from cnr.cli.store_options import STORE, load, store_options, with_registry, with_stores
from cnr.registry.core import TRUSTED_GRACE_US
from cnr.registry.gc import Collector
from cnr.registry.gc_report import KINDS, Report
from cnr.registry.registry import Registry
from cnr.store.check import Check, check_store
from cnr.store.open import Stores


@click.group("storage")
def command() -> None:
    """Look after a store."""


command.add_command(storage_forget.command)
command.add_command(storage_migrate.command)
command.add_command(storage_upgrade.command)


@command.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--grace", metavar="SECONDS", type=click.IntRange(0), help="Spare what was touched since; else CNR_GC_GRACE."
)
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the report."
)
@store_options(*STORE)
def gc(dry_run: bool, grace: int | None, output: str, **flags: str | None) -> None:
    """Remove what nothing names any more. Servers may run on the store meanwhile.

    Files that no record names are removed an hour after a run saw them first, or later.
    """
    config = load(flags)
    seconds = config.gc_grace if grace is None else grace
    if seconds < (least := min(config.gc_grace, TRUSTED_GRACE_US // 1_000_000)):
        raise click.BadParameter(
            f"servers on this store count on {least:,} seconds; a shorter grace must be theirs too: CNR_GC_GRACE",
            param_hint="--grace",
        )

    async def work(registry: Registry) -> Report:
        collector = Collector(registry.core, registry.manifests, timedelta(seconds=seconds))
        return await collector.collect(dry_run=dry_run)

    report = with_registry(config, work)
    emit(output, report.as_json(), lambda: summary(report))
    if report.failed:
        raise click.ClickException(f"{len(report.failed)} repositories were left alone, because they cannot be read")


@command.command("check")
@click.option("--deep", is_flag=True, help="Read everything that is stored, and say what is lost or wrong.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="With --deep: records and files at a time."
)
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
@store_options(*STORE)
def check(deep: bool, jobs: int, output: str, **flags: str | None) -> None:
    """Try a store, and say what it guarantees and how fast it answers. Servers may run on it meanwhile.

    The exit code is 0 for a store that can be used, also with warnings, and 1 for one that cannot.

    With --deep every record, file and list is checked instead; nothing is changed. The exit code is 7 if something is
    lost or wrong.
    """
    config = load(flags)
    if deep:
        storage_deep.run(config, output, jobs)
        return

    async def work(stores: Stores) -> Check:
        return await check_store(stores.records, stores.blobs, new_id=random_ids(), timer=time.perf_counter)

    found = with_stores(config, work)
    place = {"records": str(config.records_url), "blobs": str(config.blob_storage or config.records_url)}
    emit(output, {**place, **msgspec.to_builtins(found)}, lambda: check_summary(place, found))


def check_summary(place: Mapping[str, str], found: Check) -> str:
    """What was found, for a person: what is set up, what should be otherwise, how long calls take."""
    rows = [[fact.name, fact.value] for fact in found.facts]
    calls = [[each.call, f"{each.median_ms:.2f}", f"{each.worst_ms:.2f}"] for each in found.latencies]
    return "\n".join(
        [
            *(printable(f"{what} in {where}") for what, where in place.items()),
            table(["WHAT", "HOW IT IS"], rows),
            *(printable(f"warning: {fact.name}: {fact.warning}") for fact in found.facts if fact.warning),
            table(["CALL", "MEDIAN MS", "WORST MS"], calls),
            "The store keeps what a store must.",
        ]
    )


def summary(report: Report) -> str:
    """The report for a person: repositories with what goes, then the sum."""
    rows = [
        [str(name), *(str(removed.records[kind]) for kind in KINDS), f"{removed.size:,}"]
        for name, removed in sorted(report.repositories.items())
    ]
    lines = [table(["REPOSITORY", *(kind.upper() for kind in KINDS), "BYTES"], rows)] if rows else []
    lines += [printable(f"left alone: {name}: {reason}") for name, reason in sorted(report.failed.items())]
    lines.append(
        f"{'Would remove' if report.dry_run else 'Removed'} {report.count:,} records and {report.unnamed:,} files"
        f" that no record names: {report.size:,} bytes."
    )
    return "\n".join(lines)
