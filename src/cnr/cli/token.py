"""`cnr token`: robot tokens. Works on the store itself, beside a running server."""

import getpass
from typing import Any

import click

from cnr.auth.access_control import AccessControl
from cnr.cli.account_options import OUTPUT, Parsed, shown_time
from cnr.cli.audited import tell
from cnr.cli.output import emit, table
from cnr.cli.store_options import STORE, on_store, store_options
from cnr.domain.account import RIGHTS, Rights, ScopePath, parse_label, parse_rights, parse_scope
from cnr.domain.errors import BadInput

_DAY_S = 86400


class Scope(click.ParamType[tuple[ScopePath, Rights]]):
    """`ns/*:pull,push`."""

    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises click.BadParameter."""
        path, _, rights = str(value).partition(":")
        try:
            return parse_scope(path), parse_rights(rights.split(","))
        except BadInput as exc:
            self.fail(exc.message, param, ctx)


@click.group("token")
def command() -> None:
    """Make and end robot tokens: for machines, with rights of their own."""


@command.command("add")
@click.argument("name", type=Parsed("name", parse_label))
@click.option(
    "--scope",
    "scopes",
    metavar="PATH:RIGHT[,RIGHT]",
    type=Scope(),
    multiple=True,
    required=True,
    help=f"NS/* or NS/NAME, and some of {', '.join(RIGHTS)}; may be repeated.",
)
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How long it is valid.")
@click.option("--forever", is_flag=True, help="It is valid until it is removed.")
@store_options(*STORE)
def add(name: Any, scopes: tuple[Any, ...], days: int, forever: bool, **flags: str | None) -> None:
    """Make a token, and print it: it is not shown again.

    It is the password of a login, with any user name, or a Bearer token.
    """
    lifetime_s = None if forever else days * _DAY_S

    async def work(control: AccessControl) -> tuple[str, str]:
        made = await control.tokens.make(name, dict(scopes), lifetime_s=lifetime_s, created_by=_operator())
        tell(token=made[0])
        return made

    token_id, token = on_store(flags, work)
    click.echo(f"Made the token {token_id}:\n{token}")


def _operator() -> str:
    try:
        return f"{getpass.getuser()} on the store"
    except (KeyError, OSError):
        return "somebody on the store"


@command.command("remove")
@click.argument("token_id", metavar="ID")
@store_options(*STORE)
def remove(token_id: str, **flags: str | None) -> None:
    """End a token. Servers refuse it from their next request on."""
    on_store(flags, lambda control: control.tokens.remove(token_id))
    click.echo(f"Removed the token {token_id}.")


@command.command("list")
@OUTPUT
@store_options(*STORE)
def show(output: str, **flags: str | None) -> None:
    """List tokens; their secrets are nowhere kept."""

    async def work(control: AccessControl) -> list[dict[str, Any]]:
        return [
            {
                "id": token_id,
                "name": token.name,
                "scopes": {path: list(rights) for path, rights in token.scopes.items()},
                "created_at": token.created_at,
                "created_by": token.created_by,
                "expires_at": token.expires_at or None,
                "last_used": await control.tokens.last_used(token_id),
            }
            async for token_id, token in control.tokens.all()
        ]

    found = on_store(flags, work)
    emit(output, found, lambda: table(["ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"], [_row(each) for each in found]))


def _row(token: dict[str, Any]) -> list[str]:
    scopes = " ".join(f"{path}:{','.join(rights)}" for path, rights in token["scopes"].items())
    return [token["id"], token["name"], scopes, shown_time(token["expires_at"]), shown_time(token["last_used"])]


@command.command("rotate-keys")
@click.option("--now", is_flag=True, help="Drop the keys that there are: all bearer tokens end within seconds.")
@store_options(*STORE)
def rotate(now: bool, **flags: str | None) -> None:
    """Sign bearer tokens with a new key. It happens by itself every 30 days; with --now after a key became known."""
    on_store(flags, lambda control: control.bearers.rotate(drop_others=now))
    click.echo("Made a new key.")
