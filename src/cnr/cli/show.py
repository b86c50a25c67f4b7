"""`cnr show`: a package's releases, or one of them."""

import click
import msgspec

from cnr.cli.options import Settings, reference_with, shared_options, version_option
from cnr.cli.output import emit, table
from cnr.client.cnr import CnrClient
from cnr.client.errors import NotFound
from cnr.client.fetch import release_query
from cnr.client.messages import Manifest
from cnr.client.reference import AtDigest, Reference
from cnr.domain.version import Release, is_release, resolve

_SHORT_DIGEST = 12


@click.command("show")
@click.argument("reference", metavar="HOST/NAMESPACE/NAME[:CHANNEL|@RELEASE]")
@version_option
@click.option("-w", "--wide", is_flag=True, help="Show whole digests, sizes and times as well.")
@shared_options
def command(settings: Settings, reference: str, release: str | None, wide: bool) -> None:
    """Show a package's releases and formats, or only those that the reference selects."""
    wanted = reference_with(reference, release)
    with settings.connect(wanted.registry, wanted.package) as client:
        found = _manifests(client, wanted, settings.format)
    emit(settings.output, msgspec.to_builtins(found), lambda: _table(found, wide=wide))


def _manifests(client: CnrClient, wanted: Reference, format: str | None) -> list[Manifest]:
    if wanted.selector is None:
        return client.releases(wanted.package, format=format)
    if isinstance(wanted.selector, AtDigest):
        found = client.releases(wanted.package, format=format)
        return _some([item for item in found if item.content.digest == wanted.selector.digest], wanted, format)
    query = release_query(client, wanted)
    if is_release(query):
        return _some(client.manifests(wanted.package, query, format=format), wanted, format)
    found = client.releases(wanted.package)
    highest = resolve(query, [Release(item.release) for item in found if is_release(item.release)])
    return _some([item for item in found if item.release == highest and format in (None, item.format)], wanted, format)


def _some(found: list[Manifest], wanted: Reference, format: str | None) -> list[Manifest]:
    if not found:
        what = "release" if format is None else f"{format} release"
        raise NotFound(f"{wanted.package} has no {what} that this reference selects", status=404)
    return found


def _table(found: list[Manifest], *, wide: bool) -> str:
    if not wide:
        rows = [(item.release, item.format, item.content.digest[:_SHORT_DIGEST]) for item in found]
        return table(("RELEASE", "FORMAT", "DIGEST"), rows)
    wide_rows = [
        (item.release, item.format, f"sha256:{item.content.digest}", str(item.content.size), item.created_at)
        for item in found
    ]
    return table(("RELEASE", "FORMAT", "DIGEST", "SIZE", "CREATED"), wide_rows)
