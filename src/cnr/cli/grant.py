"""`cnr grant`: who has which role where, at a registry or on a store."""

from typing import Any

import click
import msgspec

from cnr.cli.account_options import OUTPUT, Parsed
from cnr.cli.administration import at, place_options
from cnr.cli.output import emit, table
from cnr.domain.account import ROLES, parse_path

_KIND = click.argument("kind", type=click.Choice(["user", "group"]))
_NAME = click.argument("name", metavar="NAME")
_PATH = click.argument("path", metavar="NS[/NAME]", type=Parsed("path", parse_path))


@click.group("grant")
def command() -> None:
    """Give users and groups roles in namespaces and repositories.

    \b
    reader      pulls
    writer      pulls and pushes, and changes channels
    maintainer  also deletes
    admin       also gives roles, sets rules and ends tokens there

    A role holds for everything below its path. Repositories without a namespace are library/NAME.
    """


@command.command("give")
@_KIND
@_NAME
@_PATH
@click.argument("role", type=click.Choice(list(ROLES)))
@place_options
def give(kind: Any, name: str, path: Any, role: Any, **flags: Any) -> None:
    """Give a role, in the place of the one that there is at this path."""
    at(flags, lambda desk: desk.people.give(kind, name, path, role))
    click.echo(f"{name} is {role} of {path}.")


@command.command("take")
@_KIND
@_NAME
@_PATH
@place_options
def take(kind: Any, name: str, path: Any, **flags: Any) -> None:
    """Take the role at a path."""
    at(flags, lambda desk: desk.people.take(kind, name, path))
    click.echo(f"{name} has no role of {path}.")


@command.command("list")
@click.argument("path", metavar="[NS[/NAME]]", type=Parsed("path", parse_path), required=False)
@OUTPUT
@place_options
def show(path: Any, output: str, **flags: Any) -> None:
    """List who has a role at a path or below it; without one, anywhere."""
    found = at(flags, lambda desk: desk.people.roles(path))
    rows = [[each.path, each.role, each.kind, each.name] for each in found]
    emit(output, msgspec.to_builtins(found), lambda: table(["PATH", "ROLE", "", "NAME"], rows))
