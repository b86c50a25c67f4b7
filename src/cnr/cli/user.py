"""`cnr user`: users, at a registry over HTTP or on the store itself: so the first one is made."""

from pathlib import Path
from typing import Any

import click
import msgspec

from cnr.auth.htpasswd import read_entries
from cnr.cli.account_options import OUTPUT, PASSWORD_STDIN, Parsed, new_password
from cnr.cli.administration import Desk, at, place_options
from cnr.cli.output import emit, table
from cnr.domain.account import UserName, parse_user
from cnr.domain.people import User

_NAME = click.argument("name", metavar="NAME", type=Parsed("name", parse_user))


@click.group("user")
def command() -> None:
    """Make and change users. Servers on the store see a change with their next request."""


@command.command("add")
@_NAME
@click.option("--admin", is_flag=True, help="May do everything, and administers the registry.")
@PASSWORD_STDIN
@place_options
def add(name: Any, admin: bool, password_stdin: bool, **flags: Any) -> None:
    """Make a user. Asks for the password; away from a terminal one is made up and printed."""
    password, made_up = new_password(from_stdin=password_stdin)
    at(flags, lambda desk: desk.people.add_user(name, password, admin=admin))
    click.echo(f"Made the {'administrator' if admin else 'user'} {name}.")
    if made_up:
        click.echo(f"Password: {password}")


@command.command("password")
@_NAME
@PASSWORD_STDIN
@place_options
def password(name: Any, password_stdin: bool, **flags: Any) -> None:
    """Change a password. Sessions that began with the old one end at once."""
    new, made_up = new_password(from_stdin=password_stdin)
    at(flags, lambda desk: desk.people.set_password(name, new))
    click.echo(f"Changed the password of {name}.")
    if made_up:
        click.echo(f"Password: {new}")


@command.command("admin")
@_NAME
@click.option("--revoke", is_flag=True, help="Make an administrator a user like others.")
@place_options
def admin(name: Any, revoke: bool, **flags: Any) -> None:
    """Make a user an administrator of the registry."""
    at(flags, lambda desk: desk.people.set_admin(name, not revoke))
    click.echo(f"{name} is {'no administrator any more' if revoke else 'an administrator'}.")


@command.command("remove")
@_NAME
@place_options
def remove(name: Any, **flags: Any) -> None:
    """Remove a user, with all roles."""
    at(flags, lambda desk: desk.people.remove_user(name))
    click.echo(f"Removed {name}.")


@command.command("list")
@OUTPUT
@place_options
def show(output: str, **flags: Any) -> None:
    """List users, their groups and their roles."""
    found = at(flags, lambda desk: desk.people.users())
    rows = [_row(each) for each in found]
    emit(output, msgspec.to_builtins(found), lambda: table(["USER", "ADMIN", "GROUPS", "ROLES"], rows))


def _row(user: User) -> list[str]:
    roles = (f"{role} of {path}" for path, role in user.roles.items())
    return [user.name, "yes" if user.admin else "", ", ".join(user.groups), ", ".join(roles)]


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Give users that exist the password of the file.")
@place_options
def import_file(file: Path, replace: bool, **flags: Any) -> None:
    """Take over the users of an htpasswd file with bcrypt hashes, as `htpasswd -B` makes them."""
    entries = _entries(file)

    async def work(desk: Desk) -> None:
        for name, stored in entries.items():
            await desk.people.take_over(UserName(name), stored, replace=replace)

    at(flags, work)
    click.echo(f"Took over {len(entries)} users.")


def _entries(file: Path) -> dict[str, str]:
    """Hashes by name, all of which are good. Raises click.ClickException that names the line, not its hash."""
    found, wrong = read_entries(file.read_text(encoding="utf-8", errors="replace"))
    for number, why in wrong:
        raise click.ClickException(f"line {number} of {file}: {why}")
    return found
