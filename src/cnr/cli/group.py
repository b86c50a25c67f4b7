"""`cnr group`: groups of users, at a registry or on a store."""

from typing import Any

import click
import msgspec

from cnr.cli.account_options import OUTPUT, Parsed
from cnr.cli.administration import at, place_options
from cnr.cli.output import emit, table
from cnr.domain.account import parse_group, parse_user

_NAME = click.argument("name", metavar="GROUP", type=Parsed("group", parse_group))
_USER = click.argument("user", metavar="USER", type=Parsed("user", parse_user))


@click.group("group")
def command() -> None:
    """Make and change groups of users."""


@command.command("add")
@_NAME
@place_options
def add(name: Any, **flags: Any) -> None:
    """Make a group."""
    at(flags, lambda desk: desk.people.add_group(name))
    click.echo(f"Made the group {name}.")


@command.command("remove")
@_NAME
@place_options
def remove(name: Any, **flags: Any) -> None:
    """Remove a group, with all roles. Its members lose them at once."""
    at(flags, lambda desk: desk.people.remove_group(name))
    click.echo(f"Removed the group {name}.")


@command.command("join")
@_NAME
@_USER
@place_options
def join(name: Any, user: Any, **flags: Any) -> None:
    """Put a user into a group."""
    at(flags, lambda desk: desk.people.join(name, user))
    click.echo(f"{user} is in {name}.")


@command.command("leave")
@_NAME
@_USER
@place_options
def leave(name: Any, user: Any, **flags: Any) -> None:
    """Take a user out of a group."""
    at(flags, lambda desk: desk.people.leave(name, user))
    click.echo(f"{user} is not in {name}.")


@command.command("list")
@OUTPUT
@place_options
def show(output: str, **flags: Any) -> None:
    """List groups and their roles."""
    found = at(flags, lambda desk: desk.people.groups())
    rows = [[each.name, ", ".join(f"{role} of {path}" for path, role in each.roles.items())] for each in found]
    emit(output, msgspec.to_builtins(found), lambda: table(["GROUP", "ROLES"], rows))
