"""`cnr search`: packages by name, description and keywords, best first."""

import click
import msgspec

from cnr.cli.options import Settings, shared_options
from cnr.cli.output import emit, table
from cnr.client.messages import SearchItem
from cnr.client.reference import parse_registry

_DESCRIPTION_LIMIT = 80


@click.command("search")
@click.argument("host")
@click.argument("text")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@shared_options
def command(settings: Settings, host: str, text: str, limit: int) -> None:
    """Search packages by name, description and keywords.

    An old server, which only knows names, is asked for those.
    """
    registry = parse_registry(host)
    with settings.connect(registry) as client:
        found = client.search(text, limit=limit)
    if settings.format is not None:
        found = [item for item in found if settings.format in item.formats]
    emit(settings.output, msgspec.to_builtins(found), lambda: _table(found, str(registry)))


def _table(found: list[SearchItem], host: str) -> str:
    rows = [(f"{host}/{item.name}", item.default, _shortened(item.description)) for item in found]
    return table(("PACKAGE", "RELEASE", "DESCRIPTION"), rows)


def _shortened(text: str) -> str:
    return text if len(text) <= _DESCRIPTION_LIMIT else text[: _DESCRIPTION_LIMIT - 1].rstrip() + "…"
