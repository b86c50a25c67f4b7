"""`cnr storage upgrade`: let servers write a store's newest format."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

import click

from cnr.app import open_stores
from cnr.cli.audited import audited
from cnr.cli.store_options import STORE, load, store_options
from cnr.config import Config
from cnr.store.base import StoreRefused
from cnr.store.probe import raise_format, read_format
from cnr.store.records import FORMAT


@click.command("upgrade")
@click.option("--dry-run", is_flag=True, help="Only say what would be raised.")
@store_options(*STORE)
def command(dry_run: bool, **flags: str | None) -> None:
    """Raise the format that servers write to the newest one that this version knows.

    A new version reads a store's format and goes on writing it. Do this when all servers of the store run the new
    version, and none needs to go back: older ones refuse the store from then on. It cannot be lowered again.
    """
    try:
        before, after = asyncio.run(_run(load(flags), dry_run))
    except StoreRefused as exc:
        raise click.ClickException(str(exc)) from None
    if before == after:
        click.echo(f"The store is written in format {before}, the newest that this version knows. Nothing to do.")
    elif dry_run:
        click.echo(f"Would raise the store's format from {before} to {after}.")
    else:
        click.echo(
            f"The store's format was raised from {before} to {after}. Versions that do not know it refuse it now."
        )


async def _run(config: Config, dry_run: bool) -> tuple[int, int]:
    with ThreadPoolExecutor(2, thread_name_prefix="cnr") as pool:
        stores = await open_stores(config, pool, own_only=True)
        try:
            if dry_run:
                return (await read_format(stores.records)).write_format, FORMAT
            with audited(config):
                return await raise_format(stores.records, lambda: secrets.token_hex(16))
        finally:
            await stores.close()
