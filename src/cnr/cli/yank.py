"""`cnr yank`: a release that nobody should choose any more."""

import click
import msgspec

from cnr.cli.options import Settings, exact_release, reference_with, shared_options, version_option
from cnr.cli.output import emit, printable
from cnr.client.messages import Yanked
from cnr.domain.version import is_release


@click.command("yank")
@click.argument("reference", metavar="HOST/NAMESPACE/NAME@RELEASE")
@version_option
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the release.")
@click.option("--undo", is_flag=True, help="Make it a release like any other again.")
@shared_options
def command(settings: Settings, reference: str, release: str | None, reason: str, undo: bool) -> None:
    """Take exactly one release out of ranges, the newest, search and chart indexes.

    It stays where it is: whoever names it exactly still gets it.
    """
    wanted = reference_with(reference, release)
    exact = exact_release(wanted)
    if exact is None or not is_release(exact):
        raise click.UsageError("say exactly which release, as in @1.2.3")
    with settings.connect(wanted.registry, wanted.package) as client:
        found = client.restore(wanted.package, exact) if undo else client.yank(wanted.package, exact, reason)
    emit(settings.output, msgspec.to_builtins(found), lambda: _line(found))


def _line(found: Yanked) -> str:
    because = f": {found.reason}" if found.reason else ""
    return printable(f"{found.package} {found.release} {found.status}{because}")
