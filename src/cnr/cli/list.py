"""`cnr list`: the packages of a registry."""

import click
import msgspec

from cnr.cli.options import Settings, shared_options
from cnr.cli.output import emit, table
from cnr.client.messages import PackageItem
from cnr.client.reference import parse_namespace


@click.command("list")
@click.argument("where", metavar="HOST[/NAMESPACE]")
@click.option("-o", "--organization", metavar="NAMESPACE", help="Only packages of this namespace.")
@click.option("-s", "--search", metavar="TEXT", help="Only packages with this text in their name.")
@click.option("-u", "--user", metavar="USER", help="Only packages of this user, where the registry knows owners.")
@shared_options
def command(settings: Settings, where: str, organization: str | None, search: str | None, user: str | None) -> None:
    """List packages: name, highest release, formats."""
    registry, namespace = parse_namespace(where)
    if namespace and organization and namespace != organization:
        raise click.UsageError("give the namespace once: behind the host or with --organization")
    with settings.connect(registry, namespace or organization or "") as client:
        items = client.packages(namespace=namespace or organization, query=search, format=settings.format, user=user)
    emit(settings.output, msgspec.to_builtins(items), lambda: packages_table(items, str(registry)))


def packages_table(items: list[PackageItem], host: str) -> str:
    """A line per package."""
    rows = [(f"{host}/{item.name}", item.default, ", ".join(item.manifests)) for item in items]
    return table(("PACKAGE", "RELEASE", "FORMATS"), rows)
