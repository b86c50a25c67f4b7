"""`cnr user`: users of a store. Works on the store itself, beside a running server; so the first one is made."""

from pathlib import Path
from typing import Any

import click

from cnr.auth.access_control import AccessControl
from cnr.auth.htpasswd import htpasswd_entries
from cnr.cli.account_options import OUTPUT, PASSWORD_STDIN, Parsed, new_password
from cnr.cli.output import emit, table
from cnr.cli.store_options import STORE, on_store, store_options
from cnr.domain.account import parse_user
from cnr.domain.errors import InvalidUsage

_NAME = click.argument("name", metavar="NAME", type=Parsed("name", parse_user))


@click.group("user")
def command() -> None:
    """Make and change users. Servers on the store see a change with their next request."""


@command.command("add")
@_NAME
@click.option("--admin", is_flag=True, help="May do everything, and administers the registry.")
@PASSWORD_STDIN
@store_options(*STORE)
def add(name: Any, admin: bool, password_stdin: bool, **flags: str | None) -> None:
    """Make a user. Asks for the password; away from a terminal one is made up and printed."""
    password, made_up = new_password(from_stdin=password_stdin)

    async def work(control: AccessControl) -> None:
        await control.accounts.add_user(name, await control.passwords.hash(password), admin=admin)

    on_store(flags, work)
    click.echo(f"Made the {'administrator' if admin else 'user'} {name}.")
    if made_up:
        click.echo(f"Password: {password}")


@command.command("password")
@_NAME
@PASSWORD_STDIN
@store_options(*STORE)
def password(name: Any, password_stdin: bool, **flags: str | None) -> None:
    """Change a password. Sessions that began with the old one end at once."""
    new, made_up = new_password(from_stdin=password_stdin)

    async def work(control: AccessControl) -> None:
        await control.accounts.set_password(name, await control.passwords.hash(new))

    on_store(flags, work)
    click.echo(f"Changed the password of {name}.")
    if made_up:
        click.echo(f"Password: {new}")


@command.command("admin")
@_NAME
@click.option("--revoke", is_flag=True, help="Make an administrator a user like others.")
@store_options(*STORE)
def admin(name: Any, revoke: bool, **flags: str | None) -> None:
    """Make a user an administrator of the registry."""
    on_store(flags, lambda control: control.accounts.set_admin(name, not revoke))
    click.echo(f"{name} is {'no administrator any more' if revoke else 'an administrator'}.")


@command.command("remove")
@_NAME
@store_options(*STORE)
def remove(name: Any, **flags: str | None) -> None:
    """Remove a user, with all roles."""
    on_store(flags, lambda control: control.accounts.remove_user(name))
    click.echo(f"Removed {name}.")


@command.command("list")
@OUTPUT
@store_options(*STORE)
def show(output: str, **flags: str | None) -> None:
    """List users, their groups and their roles."""

    async def work(control: AccessControl) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "admin": user.admin,
                "groups": [each.group for each in user.groups],
                "roles": dict(user.grants),
            }
            async for name, user in control.accounts.users()
        ]

    found = on_store(flags, work)
    emit(output, found, lambda: table(["USER", "ADMIN", "GROUPS", "ROLES"], [_row(each) for each in found]))


def _row(user: dict[str, Any]) -> list[str]:
    roles = (f"{role} of {path}" for path, role in user["roles"].items())
    return [user["name"], "yes" if user["admin"] else "", ", ".join(user["groups"]), ", ".join(roles)]


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Give users that exist the password of the file.")
@store_options(*STORE)
def import_file(file: Path, replace: bool, **flags: str | None) -> None:
    """Take over the users of an htpasswd file with bcrypt hashes, as `htpasswd -B` makes them."""
    try:
        entries = htpasswd_entries(file.read_text(encoding="utf-8", errors="replace"))
    except InvalidUsage as exc:
        raise click.ClickException(f"{file}: {exc.message}") from None

    async def work(control: AccessControl) -> None:
        for name, stored in entries:
            await control.accounts.add_user(parse_user(name), stored, replaces=replace)

    on_store(flags, work)
    click.echo(f"Took over {len(entries)} users.")
