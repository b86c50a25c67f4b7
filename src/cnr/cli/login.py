"""`cnr login`: who one is at a registry from now on."""

import sys

import click

from cnr.cli.options import Settings, registry_options
from cnr.cli.output import emit, note, printable
from cnr.client.credential_sources import own_logins
from cnr.client.credentials import NOBODY, Credentials
from cnr.client.image_reference import behind_hub
from cnr.client.login import checked
from cnr.client.reference import RegistryAddress, parse_registry

_SECRET_LIMIT = 64 * 1024
"""Characters. Some registries give tokens of many kilobytes as passwords."""


@click.command("login")
@click.argument("host", metavar="HOST[:PORT]", required=False)
@click.option("-u", "--username", metavar="NAME", help="The user; any name with a robot token.")
@click.option("--password-stdin", is_flag=True, help="Read the password or the robot token from standard input.")
@registry_options
def command(settings: Settings, host: str | None, username: str | None, password_stdin: bool) -> None:
    """Log in to the registry HOST with a name and a password, or a robot token in place of the password.

    Name and password are asked for at a terminal. They are shown to the registry first, and kept only when it takes
    them: in the keyring of the operating system, where there is one, else in a file that nobody else can read.
    """
    registry = behind_hub(parse_registry(host or _asked("Registry", "give the registry: cnr login HOST[:PORT]")))
    who = _who(username, password_stdin)
    known = checked(settings.connection(registry, NOBODY), who)
    where = own_logins().keep(registry, known) if known is not None else None
    if where is None:
        note(f"{registry} lets everybody in and asks nobody for a name: nothing was kept")
    answer = {"registry": registry.url, "username": who.username, "kept": where}
    emit(settings.output, answer, lambda: _text(registry, who, where))


def _text(registry: RegistryAddress, who: Credentials, where: str | None) -> str:
    if where is None:
        return ""
    return printable(f"Logged in to {registry} as {who.username}; the password is in {where}.")


def _who(username: str | None, from_stdin: bool) -> Credentials:
    name = username or (None if from_stdin else _asked("User name", "give the user with --username"))
    if not name:
        raise click.UsageError("--password-stdin needs --username")
    if ":" in name or not name.isprintable():
        raise click.UsageError("a user name has no colon and no control characters")
    secret = _from_stdin() if from_stdin else _asked("Password", "give the password with --password-stdin", hidden=True)
    if not secret:
        raise click.UsageError("the password is empty")
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise click.UsageError("the password is no text in UTF-8") from None
    return Credentials(name, secret)


def _asked(prompt: str, otherwise: str, *, hidden: bool = False) -> str:
    """What somebody types. Raises UsageError, saying `otherwise`, where nobody can."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{otherwise}, since there is no terminal to ask at")
    answer: str = click.prompt(prompt, hide_input=hidden, err=True)
    return answer


def _from_stdin() -> str:
    try:
        text = sys.stdin.readline(_SECRET_LIMIT + 2)
    except UnicodeDecodeError:
        raise click.UsageError("the password is no text in UTF-8") from None
    secret = text.rstrip("\r\n")
    if len(secret) > _SECRET_LIMIT:
        raise click.UsageError(f"a password has at most {_SECRET_LIMIT:,} characters")
    return secret
