"""`cnr storage migrate`: everything of one store into another."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import click

from cnr.app import POOL_THREADS
from cnr.cli.audited import audited, tell
from cnr.cli.failures import DAMAGED
from cnr.cli.output import emit, note
from cnr.cli.progress import progress
from cnr.cli.store_options import load
from cnr.config import Config
from cnr.domain.store_url import FILE, StoreUrl, without_secrets
from cnr.settings.types import FILESYSTEM, blob_storage, storage
from cnr.store.base import StoreRefused
from cnr.store.migration import Migrator, Tally, survey
from cnr.store.open import Stores, open_store

Progress = Callable[[int], None]
_SHOWN: Final = 20
"""Damaged things that are listed for a person; JSON has all of them."""


@click.command("migrate")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--from-blobs", metavar="URL", help="Where FROM keeps large files, if not beside its records.")
@click.option("--to-blobs", metavar="URL", help="Where TO shall keep large files, if not beside its records.")
@click.option("--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Records and files at a time.")
@click.option("--dry-run", is_flag=True, help="Only say how much there is to copy. TO is not opened.")
@click.option("--leave-damaged", is_flag=True, help="Finish although files of FROM are gone or damaged.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the report."
)
def command(
    source: str,
    target: str,
    from_blobs: str | None,
    to_blobs: str | None,
    jobs: int,
    dry_run: bool,
    leave_damaged: bool,
    output: str,
) -> None:
    """Copy everything of the store FROM into the empty store TO.

    Each is a folder or a URL (redis://, etcd://); files may be on an object store (s3://, gs://, az://). Stop the
    servers of FROM first: pushes that arrive meanwhile are copied too, but not the last ones. Run it again, with the
    same words, if it was interrupted: it goes on where it ended, and no server opens TO before it has finished.
    Every file is held against its digest. CNR_KV_PREFIX and CNR_MAX_CHUNKED_BLOB count for both.
    """
    places = _Place.of(source, from_blobs), _Place.of(target, to_blobs)
    config = load({}, unless_set={"CNR_AUDIT_LOG": places[1].audit_log})
    if places[0].overlaps(places[1]):
        raise click.UsageError("FROM and TO are the same store")
    if (folder := places[0].folder) is not None and not (folder / "records.sqlite").is_file():
        raise click.ClickException(f"there is no store in {folder}")
    try:
        done = asyncio.run(_run(*places, config, jobs, dry_run, leave_damaged))
    except StoreRefused as exc:
        raise click.ClickException(str(exc)) from None
    unfinished = not dry_run and bool(done.damaged) and not leave_damaged
    emit(output, _as_json(done, dry_run, unfinished), lambda: _summary(done, dry_run, unfinished))
    for key, reason in sorted(done.damaged.items())[:_SHOWN]:
        note(f"damaged in the source: {key}: {reason}")
    if unfinished:
        note("not finished: mend the source, or leave what is damaged with --leave-damaged")
        raise click.exceptions.Exit(DAMAGED)


class _Place:
    """Where a store is."""

    def __init__(self, records: StoreUrl, blobs: StoreUrl | None) -> None:
        self.records = records
        self.blobs = blobs

    @classmethod
    def of(cls, records: str, blobs: str | None) -> "_Place":
        try:
            url = storage(records if "://" in records else str(Path(records).absolute()))
            if url.scheme == FILESYSTEM:
                raise ValueError("use a folder or a URL")
            return cls(url, blob_storage(blobs if "://" in blobs else str(Path(blobs).absolute())) if blobs else None)
        except ValueError as exc:
            named = " ".join(without_secrets(text) for text in (records, blobs) if text)
            raise click.BadParameter(f"{named}: {exc}") from None

    @property
    def folder(self) -> Path | None:
        """The folder of the records, where they are in one."""
        return Path(self.records.path) if self.records.scheme == FILE else None

    @property
    def audit_log(self) -> str:
        """The log beside the records, where they are in a folder."""
        return str(self.folder / "audit.log") if self.folder is not None else "off"

    @property
    def name(self) -> str:
        return f"{self.records}" + (f" with {self.blobs}" if self.blobs else "")

    def overlaps(self, other: "_Place") -> bool:
        mine, theirs = ({str(each.records), str(each.blobs or each.records)} for each in (self, other))
        return bool(mine & theirs)

    async def open(self, config: Config, pool: ThreadPoolExecutor, *, unfinished: bool = False) -> Stores:
        return await open_store(
            self.records,
            pool=pool,
            blobs=self.blobs,
            own_only=True,
            prefix=config.kv_prefix,
            chunked_bytes=config.max_chunked_blob,
            unfinished=unfinished,
        )


async def _run(source: _Place, target: _Place, config: Config, jobs: int, dry_run: bool, leave_damaged: bool) -> Tally:
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="cnr"))
        stores = await source.open(config, pool)
        stack.push_async_callback(stores.close)
        found = await survey(stores.records)
        if dry_run:
            return found
        into = await target.open(config, pool, unfinished=True)
        stack.push_async_callback(into.close)
        begin = stack.enter_context(progress("Copying"))
        migrator = Migrator(
            stores,
            into,
            source.name,
            new_id=lambda: secrets.token_hex(16),
            pool=pool,
            jobs=jobs,
            leave_damaged=leave_damaged,
            passed=begin(found.size),
        )
        with audited(config):
            done = await migrator.run()
            tell(records=done.records, files=done.blobs, damaged=len(done.damaged))
            return done


def _as_json(done: Tally, dry_run: bool, unfinished: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "finished": not dry_run and not unfinished,
        "records": done.records,
        "files": done.blobs,
        "bytes": done.size,
        "damaged": done.damaged,
    }


def _summary(done: Tally, dry_run: bool, unfinished: bool) -> str:
    what = f"{done.records:,} records and {done.blobs:,} files: {done.size:,} bytes."
    if dry_run:
        return f"Would copy {what}"
    return f"Copied {what}" + ("" if unfinished else " Start servers on the target; those of the source stay stopped.")
