"""`cnr version`: of the client, and of a server."""

import click

from cnr import __version__
from cnr.cli.options import Settings, shared_options
from cnr.cli.output import emit, printable
from cnr.client.reference import parse_registry


@click.command("version")
@click.argument("host", required=False)
@shared_options
def command(settings: Settings, host: str | None) -> None:
    """Show the client's version and, with HOST, the server's."""
    answer: dict[str, object] = {"client": __version__}
    if host is not None:
        registry = parse_registry(host)
        with settings.connect(registry) as client:
            answer |= {"server": client.version(), "registry": registry.url}
    emit(settings.output, answer, lambda: _text(answer))


def _text(answer: dict[str, object]) -> str:
    lines = [f"client {answer['client']}"]
    server = answer.get("server")
    if isinstance(server, dict):
        name = next((name for name in ("cnr-api", "appr-api") if name in server), next(iter(server), ""))
        lines.append(f"server {printable(str(server.get(name, 'unknown')))} ({answer['registry']})")
    return "\n".join(lines)
