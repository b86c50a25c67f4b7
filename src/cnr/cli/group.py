"""`cnr group`: groups of users. Works on the store itself, beside a running server."""

from typing import Any

import click

from cnr.auth.access_control import AccessControl
from cnr.cli.account_options import OUTPUT, Parsed
from cnr.cli.output import emit, table
from cnr.cli.store_options import STORE, on_store, store_options
from cnr.domain.account import parse_group, parse_user

_NAME = click.argument("name", metavar="GROUP", type=Parsed("group", parse_group))
_USER = click.argument("user", metavar="USER", type=Parsed("user", parse_user))


@click.group("group")
def command() -> None:
    """Make and change groups of users."""


@command.command("add")
@_NAME
@store_options(*STORE)
def add(name: Any, **flags: str | None) -> None:
    """Make a group."""
    on_store(flags, lambda control: control.accounts.add_group(name))
    click.echo(f"Made the group {name}.")


@command.command("remove")
@_NAME
@store_options(*STORE)
def remove(name: Any, **flags: str | None) -> None:
    """Remove a group, with all roles. Its members lose them at once."""
    on_store(flags, lambda control: control.accounts.remove_group(name))
    click.echo(f"Removed the group {name}.")


@command.command("join")
@_NAME
@_USER
@store_options(*STORE)
def join(name: Any, user: Any, **flags: str | None) -> None:
    """Put a user into a group."""
    on_store(flags, lambda control: control.accounts.join(user, name))
    click.echo(f"{user} is in {name}.")


@command.command("leave")
@_NAME
@_USER
@store_options(*STORE)
def leave(name: Any, user: Any, **flags: str | None) -> None:
    """Take a user out of a group."""
    on_store(flags, lambda control: control.accounts.leave(user, name))
    click.echo(f"{user} is not in {name}.")


@command.command("list")
@OUTPUT
@store_options(*STORE)
def show(output: str, **flags: str | None) -> None:
    """List groups and their roles."""

    async def work(control: AccessControl) -> list[dict[str, Any]]:
        return [{"name": name, "roles": dict(group.grants)} async for name, group in control.accounts.groups()]

    found = on_store(flags, work)
    rows = [[each["name"], ", ".join(f"{role} of {path}" for path, role in each["roles"].items())] for each in found]
    emit(output, found, lambda: table(["GROUP", "ROLES"], rows))
