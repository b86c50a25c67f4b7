"""`cnr import`: the packages of an old server, out of its store folder or a backup, into this registry's store."""

import time
from pathlib import Path

import click
import msgspec

from cnr.cli.failures import INCOMPLETE
from cnr.cli.output import emit, printable
from cnr.cli.store_options import LIMITS, STORE, load, store_options, with_registry
from cnr.legacy.backup import Backup
from cnr.legacy.importer import Importer
from cnr.legacy.old_package import OldPackage, OldSource, OldStoreError
from cnr.legacy.old_store import OldStore
from cnr.legacy.report import Count, Finding, Report
from cnr.registry.registry import Registry


@click.command("import")
@click.argument("source", metavar="FROM", type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option("--lower-case", is_flag=True, help="Take names with upper-case letters in lower case.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="How to print the report.",
)
@store_options(*STORE, *LIMITS)
def command(source: Path, dry_run: bool, lower_case: bool, output: str, **flags: str | None) -> int:
    """Take over the packages of an old server.

    FROM is its store folder (DATABASE_URL of the old server, with cnr/packages or appr/packages in it) or a backup
    file. It is only read. Names, releases, times, metadata and channels are kept, digests are computed anew. Importing
    twice changes nothing, and a server may run on this registry's store meanwhile.

    The exit code is 0 if everything is here now, 8 if something was refused or differs: the report says what and why.
    """
    config = load(flags)
    opened = _open(source)

    async def work(registry: Registry) -> Report:
        importer = Importer(registry, lambda: time.time_ns() // 1000, lower_case=lower_case, dry_run=dry_run)
        return await importer.run(opened, done=_progress if output == "text" else _silence)

    report = with_registry(config, work)
    emit(output, msgspec.to_builtins(report), lambda: summary(report))
    return 0 if report.clean else INCOMPLETE


def _open(path: Path) -> OldSource:
    try:
        return OldStore.open(path) if path.is_dir() else Backup.open(path)
    except OldStoreError as exc:
        raise click.ClickException(str(exc)) from None


def _progress(old: OldPackage, count: Count) -> None:
    click.echo(printable(f"{old.name or '(no name)'}: {_counts(count)}"))


def _silence(old: OldPackage, count: Count) -> None:
    return None


def summary(report: Report) -> str:
    """The report for a person: what to look at first, then the numbers."""
    lines = [_line(finding) for finding in report.findings]
    channels = f"; channels: {_counts(report.channels)}"
    lines.append(
        f"{'Would be there' if report.dry_run else 'There now'}: {_plural(report.packages, 'package')}."
        f" Manifests: {_counts(report.manifests)}{channels}."
    )
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    offer = f" (--lower-case takes it as {finding.suggestion})" if finding.suggestion else ""
    return printable(f"{finding.kind}: {finding.subject}: {finding.reason}{offer}")


def _counts(count: Count) -> str:
    return f"{count.imported} imported, {count.already_there} already there, {count.refused} refused"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
