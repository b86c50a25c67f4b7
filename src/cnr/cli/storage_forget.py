"""`cnr storage forget`: delete one record that a check found to be damaged, so that it can be pushed again."""

import click

from cnr.cli.output import printable
from cnr.cli.store_options import STORE, load, store_options, with_stores
from cnr.store import keys
from cnr.store.base import RecordNotFound, VersionConflict
from cnr.store.open import Stores

KEPT = (keys.META_FORMAT, keys.META_MIGRATION)
"""Without these a store is another one, or opens too early."""


@click.command("forget")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options(*STORE)
def command(key: str, yes: bool, **flags: str | None) -> None:
    """Delete the record under KEY, as `cnr storage check --deep` named it.

    What it said is lost; bytes that it named become garbage. Push again what it belonged to: that writes it anew.
    Servers may run meanwhile, and learn of it.
    """
    if key in KEPT:
        raise click.BadParameter("this record is what makes the store what it is", param_hint="KEY")
    config = load(flags)
    if not yes:
        click.confirm(f"Delete the record {printable(key)} from {config.records_url}?", abort=True)
    with_stores(config, lambda stores: _forget(stores, key))
    click.echo(f"{printable(key)} is forgotten.")


async def _forget(stores: Stores, key: str) -> None:
    """Delete the record, whatever it says. Raises click.ClickException where there is none."""
    while True:
        try:
            found = await stores.records.get(key)
            await stores.records.delete(key, expect=found.version)
        except RecordNotFound:
            raise click.ClickException(f"there is no record {printable(key)}") from None
        except VersionConflict:
            continue  # it was swapped meanwhile
        return
