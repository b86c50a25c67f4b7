"""`cnr logout`: what `cnr login` kept is forgotten."""

import click

from cnr.cli.output import printable
from cnr.client.credential_sources import own_logins
from cnr.client.errors import NotLoggedIn
from cnr.client.image_reference import behind_hub
from cnr.client.reference import parse_registry


@click.command("logout")
@click.argument("host", metavar="HOST[:PORT]")
def command(host: str) -> None:
    """Forget the login to the registry HOST. What docker, podman or helm keep for it is theirs, and stays."""
    registry = behind_hub(parse_registry(host))
    login = own_logins().forget(registry)
    if login is None:
        raise NotLoggedIn(f"there is no login to {registry}")
    click.echo(printable(f"Logged out of {registry}, where you were {login.username}."))
