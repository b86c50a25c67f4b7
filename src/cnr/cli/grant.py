"""`cnr grant`: who has which role where. Works on the store itself, beside a running server."""

from typing import Any

import click

from cnr.cli.account_options import Parsed
from cnr.cli.store_options import STORE, on_store, store_options
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
    admin       as maintainer, until accounts are administered over HTTP

    A role holds for everything below its path. Repositories without a namespace are library/NAME.
    """


@command.command("give")
@_KIND
@_NAME
@_PATH
@click.argument("role", type=click.Choice(list(ROLES)))
@store_options(*STORE)
def give(kind: Any, name: str, path: Any, role: Any, **flags: str | None) -> None:
    """Give a role, in the place of the one that there is at this path."""
    on_store(flags, lambda control: control.accounts.grant(kind, name, path, role))
    click.echo(f"{name} is {role} of {path}.")


@command.command("take")
@_KIND
@_NAME
@_PATH
@store_options(*STORE)
def take(kind: Any, name: str, path: Any, **flags: str | None) -> None:
    """Take the role at a path."""
    on_store(flags, lambda control: control.accounts.grant(kind, name, path, None))
    click.echo(f"{name} has no role of {path}.")
