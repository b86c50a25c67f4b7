"""`cnr token`: robot tokens, at a registry or on a store."""

from typing import Any

import click
import msgspec

from cnr.cli.account_options import OUTPUT, Parsed, shown_time
from cnr.cli.administration import Desk, at, place_options
from cnr.cli.audited import tell
from cnr.cli.output import emit, table
from cnr.domain.account import RIGHTS, Rights, ScopePath, parse_label, parse_rights, parse_scope
from cnr.domain.errors import BadInput
from cnr.domain.robots import NewRobot, Robot


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
@click.option(
    "--independent", is_flag=True, help="At a registry, by an administrator: it does not depend on its maker."
)
@place_options
def add(name: Any, scopes: tuple[Any, ...], days: int, forever: bool, independent: bool, **flags: Any) -> None:
    """Make a token, and print it: it is not shown again.

    It is the password of a login, with any user name, or a Bearer token. One that is made at a registry never may do
    what its maker may not, and ends with him.
    """

    async def work(desk: Desk) -> NewRobot:
        made = await desk.robots.make(name, dict(scopes), days=None if forever else days, independent=independent)
        tell(token=made.id)
        return made

    made = at(flags, work)
    click.echo(f"Made the token {made.id}:\n{made.token}")


@command.command("remove")
@click.argument("token_id", metavar="ID")
@place_options
def remove(token_id: str, **flags: Any) -> None:
    """End a token. Servers refuse it from their next request on."""
    at(flags, lambda desk: desk.robots.remove(token_id))
    click.echo(f"Removed the token {token_id}.")


@command.command("list")
@OUTPUT
@place_options
def show(output: str, **flags: Any) -> None:
    """List tokens; their secrets are nowhere kept."""
    found = at(flags, lambda desk: desk.robots.tokens())
    rows = [_row(each) for each in found]
    emit(
        output,
        msgspec.to_builtins(found),
        lambda: table(["ID", "NAME", "SCOPES", "OWNER", "EXPIRES", "LAST USED"], rows),
    )


def _row(token: Robot) -> list[str]:
    scopes = " ".join(f"{path}:{','.join(rights)}" for path, rights in token.scopes.items())
    return [token.id, token.name, scopes, token.owner or "-", shown_time(token.expires_at), shown_time(token.last_used)]


@command.command("rotate-keys")
@click.option("--now", is_flag=True, help="Drop the keys that there are: all bearer tokens end within seconds.")
@place_options
def rotate(now: bool, **flags: Any) -> None:
    """Sign bearer tokens with a new key. It happens by itself every 30 days; with --now after a key became known."""
    at(flags, lambda desk: desk.robots.rotate(drop_others=now))
    click.echo("Made a new key.")
