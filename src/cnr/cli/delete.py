"""`cnr delete`: one format of one release."""

import click
import msgspec

from cnr.cli.options import Settings, exact_release, reference_with, shared_options, version_option
from cnr.cli.output import emit, printable
from cnr.client.cnr import CnrClient
from cnr.client.reference import Reference
from cnr.domain.version import is_release


@click.command("delete")
@click.argument("reference", metavar="HOST/NAMESPACE/NAME@RELEASE")
@version_option
@shared_options
def command(settings: Settings, reference: str, release: str | None) -> None:
    """Delete exactly one release: its only format, or the one named with -t.

    A range, a channel or no release at all is refused, so that nothing goes by accident.
    """
    wanted = reference_with(reference, release)
    exact = exact_release(wanted)
    if exact is None or not is_release(exact):
        raise click.UsageError("say exactly which release to delete, as in @1.2.3")
    with settings.connect(wanted.registry, wanted.package) as client:
        format = settings.format or _only_format(client, wanted, exact)
        gone = client.delete(wanted.package, exact, format)
    answer = {**msgspec.to_builtins(gone), "media_type": format}
    emit(settings.output, answer, lambda: printable(f"{gone.package} {gone.release} ({format}) deleted"))


def _only_format(client: CnrClient, wanted: Reference, release: str) -> str:
    formats = sorted(item.format for item in client.manifests(wanted.package, release))
    if len(formats) != 1:
        raise click.UsageError(f"{wanted.package} {release} has the formats {', '.join(formats)}: choose one with -t")
    return formats[0]
